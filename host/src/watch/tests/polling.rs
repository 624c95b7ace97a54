//! Tests of files for which events do not come.

use std::fs;
use std::time::Duration;

use super::{Disk, Polling, Watched};

const EVERYWHERE: Polling = Polling {
    everywhere: true,
    interval: Duration::from_millis(10),
};

async fn polled(disk: &Disk) -> Watched {
    Watched::polling(EVERYWHERE, disk.set(&["lib/c.ts"], &["functions"])).await
}

#[tokio::test]
async fn writes_renames_and_removals_are_seen() {
    let disk = Disk::new();
    let mut watched = polled(&disk).await;
    disk.write("lib/c.ts", "2");
    disk.age("lib/c.ts");
    watched.hear_of(&disk.path("lib/c.ts")).await;
    watched.rest(&disk).await;
    disk.write("functions/steps/b.ts", "2");
    disk.age("functions/steps/b.ts");
    watched.hear_of(&disk.path("functions/steps/b.ts")).await;
    watched.rest(&disk).await;
    disk.write("lib/.c.ts.tmp", "3");
    disk.age("lib/.c.ts.tmp");
    disk.rename("lib/.c.ts.tmp", "lib/c.ts");
    watched.hear_of(&disk.path("lib/c.ts")).await;
    watched.rest(&disk).await;
    fs::remove_file(disk.path("lib/c.ts")).unwrap();
    watched.hear_of(&disk.path("lib/c.ts")).await;
}

#[tokio::test]
async fn what_is_new_in_a_tree_is_seen_and_looked_at_from_then_on() {
    let disk = Disk::new();
    let mut watched = polled(&disk).await;
    disk.write("functions/new/d.ts", "1");
    disk.age("functions/new/d.ts");
    watched.hear_of(&disk.path("functions/new/d.ts")).await;
    watched.rest(&disk).await;
    disk.write("functions/new/d.ts", "22");
    disk.age("functions/new/d.ts");
    watched.hear_of(&disk.path("functions/new/d.ts")).await;
    watched.rest(&disk).await;
    fs::remove_dir_all(disk.path("functions/new")).unwrap();
    watched.hear_of(&disk.path("functions/new/d.ts")).await;
}

#[tokio::test]
async fn a_symlink_that_is_swapped_is_seen() {
    let disk = Disk::new();
    disk.write("releases/1/a.ts", "1");
    disk.write("releases/2/a.ts", "2");
    disk.link("releases/1", "current");
    let mut watched = Watched::polling(EVERYWHERE, disk.set(&["current/a.ts"], &[])).await;
    disk.link("releases/2", "next");
    disk.rename("next", "current");
    assert!(watched.rest(&disk).await.rescan);
    disk.write("releases/2/a.ts", "33");
    watched.hear_of(&disk.path("current/a.ts")).await;
}
