//! The jobs whose property lists are in a folder, with their working folders and ports.

use std::path::{Path, PathBuf};

use plist::{Dictionary, Value};

/// The limit of a file, in bytes: larger files are no jobs.
const LARGEST: u64 = 1 << 20;

/// A job that launchd loads from a file, whether it has done so or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledJob {
    pub file: PathBuf,
    pub label: String,
    pub working_folder: Option<PathBuf>,
    /// The ports on which launchd listens, or the program itself by its `--port`.
    pub ports: Vec<u16>,
}

/// Returns the jobs of a folder, by their files' names. Files that cannot be read, or have no label, are left out.
#[must_use]
pub fn jobs_in(folder: &Path) -> Vec<InstalledJob> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    let is_job = |file: &PathBuf| {
        let small = |file: &Path| {
            file.metadata()
                .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST)
        };
        file.extension().is_some_and(|extension| extension == "plist") && small(file)
    };
    files
        .into_iter()
        .filter(is_job)
        .filter_map(|file| read(&file))
        .collect()
}

/// Returns the job of a file, or `None` if the file cannot be read, or has no label.
pub(super) fn read(file: &Path) -> Option<InstalledJob> {
    let job = Value::from_file(file).ok()?.into_dictionary()?;
    Some(InstalledJob {
        label: job.get("Label")?.as_string()?.to_owned(),
        working_folder: job
            .get("WorkingDirectory")
            .and_then(Value::as_string)
            .map(PathBuf::from),
        ports: ports(&job),
        file: file.to_owned(),
    })
}

/// Returns the ports of a job. Services that are named by words (`http`) are left out.
fn ports(job: &Dictionary) -> Vec<u16> {
    let mut ports = Vec::new();
    let sockets = job.get("Sockets").and_then(Value::as_dictionary);
    for value in sockets.into_iter().flat_map(Dictionary::values) {
        // The value is one socket, or several under one name.
        let each = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for socket in each.iter().filter_map(Value::as_dictionary) {
            let service = socket.get("SockServiceName");
            let text: Option<u16> = service.and_then(Value::as_string).and_then(|text| text.parse().ok());
            let number = service
                .and_then(Value::as_unsigned_integer)
                .and_then(|port| port.try_into().ok());
            ports.extend(text.or(number));
        }
    }
    let arguments = job.get("ProgramArguments").and_then(Value::as_array);
    let arguments: Vec<&str> = arguments.into_iter().flatten().filter_map(Value::as_string).collect();
    let named = arguments.windows(2).filter(|pair| pair[0] == "--port");
    ports.extend(named.filter_map(|pair| pair[1].parse::<u16>().ok()));
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{InstalledJob, jobs_in};
    use crate::service::launchd;
    use crate::service::tests::service;

    #[test]
    fn a_job_that_baton_made_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut made = service();
        made.socket = true;
        made.working_folder = "/srv/größer & <kleiner>".to_owned();
        let unit = launchd::unit(&made).unwrap();
        let file = folder.path().join(&unit.name);
        fs::write(&file, &unit.text).unwrap();
        let expected = InstalledJob {
            file,
            label: "baton.shop".to_owned(),
            working_folder: Some("/srv/größer & <kleiner>".into()),
            ports: vec![3111],
        };
        assert_eq!(jobs_in(folder.path()), [expected]);
    }

    #[test]
    fn sockets_of_other_jobs_count_and_what_is_no_job_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "b.plist",
            "<plist version=\"1.0\"><dict><key>Label</key><string>b</string><key>Sockets</key><dict>\
             <key>A</key><array><dict><key>SockServiceName</key><integer>80</integer></dict>\
             <dict><key>SockServiceName</key><string>http</string></dict></array>\
             <key>B</key><dict><key>SockServiceName</key><string>4000</string></dict></dict></dict></plist>",
        );
        write(
            "a.plist",
            "<plist version=\"1.0\"><dict><key>Label</key><string>a</string></dict></plist>",
        );
        write("c.plist", "no property list");
        write("d.plist", "<plist version=\"1.0\"><array/></plist>");
        write("e.plist", "<plist version=\"1.0\"><dict/></plist>");
        write(
            "f.txt",
            "<plist version=\"1.0\"><dict><key>Label</key><string>f</string></dict></plist>",
        );
        fs::create_dir(folder.path().join("g.plist")).unwrap();
        let found: Vec<_> = jobs_in(folder.path())
            .into_iter()
            .map(|job| (job.label, job.ports))
            .collect();
        assert_eq!(found, [("a".to_owned(), vec![]), ("b".to_owned(), vec![80, 4000])]);
        assert_eq!(jobs_in(&folder.path().join("missing")), []);
    }
}
