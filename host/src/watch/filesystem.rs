//! Tells whether events come for every change on a file system.
//!
//! The kernel tells of the changes that go through it. It does not tell of the changes that another
//! machine makes to a shared disk, or the host of a virtual machine or a container to a folder that
//! it shares.

use std::collections::HashMap;
use std::path::Path;

/// The types (`f_type` of statfs(2)) of file systems that others can write to unseen.
const SHARED: [(u32, &str); 17] = [
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    // Also virtiofs, and what Docker Desktop shares with its containers.
    (0x6573_5546, "fuse"),
    // Also the Windows drives of WSL.
    (0x0102_1997, "9p"),
    (0x786f_4256, "vboxsf"),
    (0xbacb_acbc, "vmhgfs"),
    (0x7c7c_6673, "prl_fs"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "kafs"),
    (0x7375_7245, "coda"),
    (0x00c3_6400, "ceph"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x0116_1970, "gfs2"),
    (0x7461_636f, "ocfs2"),
];

/// Returns the name of a file system on which changes can come without an event. An overlay is not
/// among them: the folders below it must not be written to while it is mounted.
pub(super) fn shared(magic: u32) -> Option<&'static str> {
    let entry = SHARED.iter().find(|(known, _)| *known == magic);
    entry.map(|(_, name)| *name)
}

/// The file systems that were met so far: for each device, whether its folders must be polled.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    shared: HashMap<u64, bool>,
}

impl Filesystems {
    /// Tells whether a folder on this device must be polled. A folder whose file system cannot be
    /// asked need not be.
    pub(super) fn is_shared(&mut self, device: u64, folder: &Path) -> bool {
        *self.shared.entry(device).or_insert_with(|| {
            let name = magic(folder).and_then(shared);
            if let Some(name) = name {
                tracing::info!(
                    filesystem = name,
                    folder = %folder.display(),
                    "this file system does not report every change: its files are polled too"
                );
            }
            name.is_some()
        })
    }
}

#[cfg(target_os = "linux")]
fn magic(folder: &Path) -> Option<u32> {
    // The types are numbers of 32 bits, in a field that most machines sign and make wider.
    let statfs = nix::sys::statfs::statfs(folder).ok()?;
    Some(statfs.filesystem_type().0 as u32)
}

#[cfg(not(target_os = "linux"))]
fn magic(_: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::{Filesystems, shared};

    #[test]
    fn shared_file_systems_are_polled_and_local_ones_are_not() {
        assert_eq!(shared(0x6969), Some("nfs"));
        assert_eq!(shared(0xff53_4d42), Some("cifs"));
        assert_eq!(shared(0x6573_5546), Some("fuse"));
        assert_eq!(shared(0x0102_1997), Some("9p"));
        for (magic, name) in [
            (0xef53, "ext4"),
            (0x9123_683e, "btrfs"),
            (0x5846_5342, "xfs"),
            (0x2fc1_2fc1, "zfs"),
            (0x0102_1994, "tmpfs"),
            (0x794c_7630, "overlay"),
        ] {
            assert_eq!(shared(magic), None, "{name}");
        }
    }

    #[test]
    fn a_device_is_asked_once() {
        let mut filesystems = Filesystems::default();
        filesystems.shared.insert(7, true);
        assert!(filesystems.is_shared(7, "/nowhere".as_ref()));
        assert!(!filesystems.is_shared(8, "/nowhere".as_ref()), "not to be asked");
    }
}
