//! Folders and symlinks that are replaced.

use std::fs;

use super::{Disk, Watched};

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_again_is_watched_again() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    for (folder, file) in [
        ("lib", "lib/c.ts"),
        ("functions", "functions/a.ts"),
        ("node_modules", "node_modules/inngest/index.js"),
        ("lib", "lib/c.ts"),
    ] {
        fs::remove_dir_all(disk.path(folder)).unwrap();
        watched.hear_of(&disk.path(file)).await;
        disk.write(file, "2");
        watched.rest(&disk).await;
        // At once, without anything in between.
        fs::remove_dir_all(disk.path(folder)).unwrap();
        disk.write(file, "3");
        assert!(watched.rest(&disk).await.rescan);
        disk.write(file, "4");
        watched.hear_of(&disk.path(file)).await;
    }
}

#[tokio::test]
async fn a_folder_above_that_is_exchanged_is_noticed() {
    let disk = Disk::new();
    disk.write("app/src/deep/d.ts", "1");
    disk.write("app.new/src/deep/d.ts", "2");
    let mut watched = Watched::following(disk.set(&["app/src/deep/d.ts"], &[])).await;
    disk.rename("app", "app.old");
    disk.rename("app.new", "app");
    assert!(watched.rest(&disk).await.rescan);
    disk.write("app.old/src/deep/d.ts", "not ours any more");
    disk.write("app/src/deep/d.ts", "3");
    watched.hear_of(&disk.path("app/src/deep/d.ts")).await;
}

#[tokio::test]
async fn new_folders_are_watched_however_deep_they_are_and_however_they_come() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    disk.write("functions/new/and/deep/d.ts", "1");
    let deep = disk.path("functions/new/and/deep/d.ts");
    assert!(watched.rest(&disk).await.paths.contains(&deep));
    disk.write("functions/new/and/deep/d.ts", "2");
    assert!(watched.rest(&disk).await.paths.contains(&deep));
    disk.write("elsewhere/moved/in/e.ts", "1");
    disk.rename("elsewhere/moved", "functions/moved");
    assert!(
        watched
            .rest(&disk)
            .await
            .paths
            .contains(&disk.path("functions/moved/in/e.ts"))
    );
    disk.write("functions/moved/in/e.ts", "2");
    assert!(
        watched
            .rest(&disk)
            .await
            .paths
            .contains(&disk.path("functions/moved/in/e.ts"))
    );
    disk.rename("functions/moved", "functions/again");
    assert!(
        watched
            .rest(&disk)
            .await
            .paths
            .contains(&disk.path("functions/again/in/e.ts"))
    );
    disk.write("functions/again/in/e.ts", "3");
    watched.hear_of(&disk.path("functions/again/in/e.ts")).await;
}

#[tokio::test]
async fn a_tree_that_does_not_exist_yet_is_watched_when_it_does() {
    let disk = Disk::new();
    let mut watched = Watched::following(disk.set(&[], &["src/functions"])).await;
    disk.write("src/functions/a.ts", "1");
    assert!(
        watched
            .rest(&disk)
            .await
            .paths
            .contains(&disk.path("src/functions/a.ts"))
    );
    disk.write("src/functions/b.ts", "1");
    watched.hear_of(&disk.path("src/functions/b.ts")).await;
}

#[tokio::test]
async fn a_symlink_to_a_file_is_followed_and_noticed_when_it_is_swapped() {
    let disk = Disk::new();
    disk.write("shared/1.ts", "1");
    disk.write("shared/2.ts", "2");
    disk.link("../shared/1.ts", "functions/linked.ts");
    let link = disk.path("functions/linked.ts");
    let mut watched = Watched::following(disk.set(&["functions/linked.ts"], &[])).await;
    disk.write("shared/1.ts", "3");
    assert!(watched.rest(&disk).await.paths.contains(&link));
    disk.link("../shared/2.ts", "functions/.linked");
    disk.rename("functions/.linked", "functions/linked.ts");
    assert!(watched.rest(&disk).await.paths.contains(&link));
    disk.write("shared/2.ts", "4");
    watched.hear_of(&link).await;
}

#[tokio::test]
async fn a_symlinked_folder_is_noticed_when_it_is_swapped_as_deployments_do() {
    let disk = Disk::new();
    for release in ["1", "2", "3"] {
        disk.write(&format!("releases/{release}/functions/a.ts"), release);
    }
    disk.link("releases/1", "current");
    let set = disk.set(&["current/functions/a.ts"], &["current/functions"]);
    let mut watched = Watched::following(set).await;
    let file = disk.path("current/functions/a.ts");
    // By a rename, and by removing the old one first.
    disk.link("releases/2", "next");
    disk.rename("next", "current");
    assert!(watched.rest(&disk).await.rescan);
    disk.write("releases/2/functions/a.ts", "new");
    assert!(watched.rest(&disk).await.paths.contains(&file));
    fs::remove_file(disk.path("current")).unwrap();
    disk.link("releases/3", "current");
    assert!(watched.rest(&disk).await.rescan);
    disk.write("releases/3/functions/new.ts", "new");
    watched.hear_of(&disk.path("current/functions/new.ts")).await;
}

#[tokio::test]
async fn a_mounted_configuration_is_noticed_when_its_symlinks_are_swapped_as_kubernetes_does() {
    let disk = Disk::new();
    disk.write("config/..1/a.json", "1");
    disk.write("config/..2/a.json", "2");
    disk.link("..1", "config/..data");
    disk.link("..data/a.json", "config/a.json");
    let mut watched = Watched::following(disk.set(&["config/a.json"], &[])).await;
    disk.link("..2", "config/..data_tmp");
    disk.rename("config/..data_tmp", "config/..data");
    assert!(watched.rest(&disk).await.rescan);
    disk.write("config/..2/a.json", "3");
    watched.hear_of(&disk.path("config/a.json")).await;
}

#[tokio::test]
async fn an_installed_package_is_noticed_when_npm_exchanges_it() {
    let disk = Disk::new();
    let mut watched = disk.watched().await;
    let file = disk.path("node_modules/inngest/index.js");
    disk.rename("node_modules/inngest", "node_modules/.inngest-Xy12");
    disk.write("node_modules/inngest/index.js", "2");
    fs::remove_dir_all(disk.path("node_modules/.inngest-Xy12")).unwrap();
    assert!(watched.rest(&disk).await.rescan);
    disk.write("node_modules/inngest/index.js", "3");
    watched.hear_of(&file).await;
}
