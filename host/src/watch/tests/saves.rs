//! Every way of saving a file.

use std::fs::{self, File};
use std::io::Write as _;

use super::Disk;

/// Saves in some way, and hears of the file.
async fn check(path: &str, save: impl FnOnce(&Disk)) {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    save(&disk);
    watched.hear_of(&disk.path(path)).await;
}

#[tokio::test]
async fn in_place() {
    for path in [
        "functions/a.ts",
        "functions/steps/b.ts",
        "lib/c.ts",
        "node_modules/inngest/index.js",
    ] {
        check(path, |disk| disk.write(path, "2")).await;
    }
}

#[tokio::test]
async fn by_a_rename_over_it() {
    for path in [
        "functions/a.ts",
        "functions/steps/b.ts",
        "lib/c.ts",
        "node_modules/inngest/index.js",
    ] {
        check(path, |disk| {
            disk.write("functions/.a.ts.tmp", "2");
            disk.rename("functions/.a.ts.tmp", path);
        })
        .await;
    }
}

#[tokio::test]
async fn by_moving_the_old_one_away_first_as_vim_does() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    for text in ["2", "3"] {
        disk.write("lib/4913", "");
        fs::remove_file(disk.path("lib/4913")).unwrap();
        disk.rename("lib/c.ts", "lib/c.ts~");
        disk.write("lib/c.ts", text);
        fs::remove_file(disk.path("lib/c.ts~")).unwrap();
        assert_eq!(watched.rest(&disk).await.paths, [disk.path("lib/c.ts")].into());
    }
}

#[tokio::test]
async fn by_deleting_and_making_it_anew() {
    check("lib/c.ts", |disk| {
        fs::remove_file(disk.path("lib/c.ts")).unwrap();
        disk.write("lib/c.ts", "2");
    })
    .await;
}

#[tokio::test]
async fn by_a_hard_link() {
    check("functions/new.ts", |disk| {
        fs::hard_link(disk.path("lib/c.ts"), disk.path("functions/new.ts")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn by_a_writer_that_keeps_the_file_open() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    let mut file = File::options().append(true).open(disk.path("lib/c.ts")).unwrap();
    file.write_all(b"2").unwrap();
    watched.hear_of(&disk.path("lib/c.ts")).await;
}

#[tokio::test]
async fn by_removing_it() {
    check("lib/c.ts", |disk| fs::remove_file(disk.path("lib/c.ts")).unwrap()).await;
    check("functions/steps/b.ts", |disk| {
        fs::remove_file(disk.path("functions/steps/b.ts")).unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_new_module_in_a_tree_is_told_and_so_is_one_that_was_renamed() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    disk.write("functions/steps/new.ts", "1");
    watched.hear_of(&disk.path("functions/steps/new.ts")).await;
    disk.rename("functions/steps/new.ts", "functions/steps/other.ts");
    let (from, to) = (
        disk.path("functions/steps/new.ts"),
        disk.path("functions/steps/other.ts"),
    );
    watched.rest(&disk).await;
    disk.rename("functions/steps/other.ts", "functions/steps/new.ts");
    assert_eq!(watched.rest(&disk).await.paths, [from, to].into());
}

#[tokio::test]
async fn a_module_that_was_looked_for_in_vain_is_told_when_it_appears() {
    let disk = Disk::new();
    let missing = ["lib/c.tsx", "lib/deep/er/d.ts", "node_modules/hono/package.json"];
    let mut watched = super::Watched::following(disk.set(&missing, &[])).await;
    for path in missing {
        disk.write(path, "1");
        watched.hear_of(&disk.path(path)).await;
    }
    watched.rest(&disk).await;
    for path in missing {
        disk.write(path, "2");
        assert_eq!(watched.rest(&disk).await.paths, [disk.path(path)].into());
    }
}

#[tokio::test]
async fn a_burst_is_told_in_few_changes_and_completely() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    let names: Vec<_> = (0..200).map(|n| format!("functions/steps/{n}.ts")).collect();
    for name in &names {
        disk.write(name, "1");
    }
    let mut missing: std::collections::BTreeSet<_> = names.iter().map(|name| disk.path(name)).collect();
    while !missing.is_empty() {
        let change = watched.hear_anything().await;
        missing.retain(|path| !change.paths.contains(path));
    }
}

#[tokio::test]
async fn what_editors_and_functions_leave_beside_modules_wakes_nobody() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    for path in [
        "functions/.a.ts.swp",
        "functions/4913",
        "functions/a.ts~",
        "functions/out.csv",
        "functions/steps/report.txt",
        "functions/node_modules/x/index.js",
        "functions/.cache/x.ts",
        "lib/other.ts",
        "node_modules/inngest/other.js",
        "node_modules/zod/index.js",
    ] {
        disk.write(path, "1");
    }
    fs::read(disk.path("functions/a.ts")).unwrap();
    fs::remove_file(disk.path("functions/4913")).unwrap();
    disk.rename("functions/out.csv", "functions/old.csv");
    let heard = watched.rest(&disk).await;
    assert!(heard.paths.is_empty() && !heard.rescan, "{heard:?}");
}
