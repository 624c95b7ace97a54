//! Tests that, whatever happened to the disk, every later write is told.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::{Disk, Watched};

/// Places at which something happens; each is a file, a folder or a link by turns.
const PLACES: [&str; 12] = [
    "functions",
    "functions/a.ts",
    "functions/steps",
    "functions/steps/b.ts",
    "functions/steps/deep",
    "functions/steps/deep/d.ts",
    "lib",
    "lib/c.ts",
    "current",
    "current/e.ts",
    "releases/1",
    "releases/2/e.ts",
];

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    MakeFolder(usize),
    Remove(usize),
    Rename(usize, usize),
    Link(usize, usize),
    /// A pause, so that the watch works on the steps before it, or on a part of them.
    Pause(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = 0..PLACES.len();
    let places = (place.clone(), place.clone());
    let step = prop_oneof![
        4 => place.clone().prop_map(Step::Write),
        2 => place.clone().prop_map(Step::MakeFolder),
        3 => place.prop_map(Step::Remove),
        4 => places.clone().prop_map(|(from, to)| Step::Rename(from, to)),
        2 => places.prop_map(|(target, link)| Step::Link(target, link)),
        2 => (0..3000_u64).prop_map(Step::Pause),
    ];
    proptest::collection::vec(step, 0..60)
}

/// Takes a step. Most steps fail most of the time, as they should.
fn apply(disk: &Disk, step: &Step) {
    let path = |place: usize| disk.path(PLACES[place]);
    let _ = match *step {
        Step::Write(place) => write(disk, PLACES[place]),
        Step::MakeFolder(place) => fs::create_dir_all(path(place)),
        Step::Remove(place) => fs::remove_dir_all(path(place)).or_else(|_| fs::remove_file(path(place))),
        Step::Rename(from, to) => fs::rename(path(from), path(to)),
        Step::Link(target, link) => std::os::unix::fs::symlink(path(target), path(link)),
        Step::Pause(micros) => {
            std::thread::sleep(Duration::from_micros(micros));
            Ok(())
        }
    };
}

fn write(disk: &Disk, path: &str) -> std::io::Result<()> {
    let path = disk.path(path);
    fs::create_dir_all(path.parent().unwrap())?;
    fs::write(path, "new")
}

/// Writes every file that can be written, and returns their paths. Folders cannot be, nor links in
/// a circle.
fn write_everything(disk: &Disk) -> Vec<PathBuf> {
    // Trees are not followed through symlinks below them.
    let new = ["functions/new.ts", "functions/steps/new.ts"].into_iter();
    let new = new.take(if disk.path("functions/steps").is_symlink() {
        1
    } else {
        2
    });
    let all = PLACES.into_iter().chain(new);
    let written = all.filter(|path| write(disk, path).is_ok());
    written.map(|path| disk.path(path)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn whatever_happened_what_is_written_from_then_on_is_told(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let disk = Disk::new();
            let mut watched = Watched::following(disk.set(&PLACES, &["functions"])).await;
            for step in &steps {
                apply(&disk, step);
            }
            watched.rest(&disk).await;
            for folders_may_appear in [true, false] {
                let written = write_everything(&disk);
                let heard = watched.rest(&disk).await;
                let untold: Vec<_> = written.iter().filter(|path| !heard.paths.contains(*path)).collect();
                let told = untold.is_empty() || folders_may_appear && heard.rescan;
                assert!(told, "{untold:?} of {written:?}: {heard:?}");
            }
        });
    }
}
