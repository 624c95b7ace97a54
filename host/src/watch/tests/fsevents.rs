//! Tests of all pure parts with sequences of events that macOS is known to make. FSEvents joins the changes of one
//! path within an instant (or half a minute) into one event with a flag for each change, without their order; both
//! sides of a rename have the same flag; and names are written as on the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use notify::event::{CreateKind, DataChange, Flag, MetadataKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventKind};

use crate::watch::entry_event::{self, is_noise, translate};
use crate::watch::relevance::{EntryKind, judge};
use crate::watch::settle::{ChangeSubject, Progress, UnsettledChanges};
use crate::watch::spelling::{NameComparison, Spellings};
use crate::watch::survey::{Folder, Survey};

/// A flag of one event of FSEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Created,
    Removed,
    Renamed,
    InodeMetaMod,
    XattrMod,
    Modified,
}
use Item::{Created, InodeMetaMod, Modified, Removed, Renamed, XattrMod};

/// Returns one event as notify tells it: an event for each flag, in this order, whatever happened first
/// (`translate_flags` in notify 8's `src/fsevent.rs`).
fn told_by_notify(path: &str, flags: &[Item]) -> Vec<Event> {
    let kinds = [
        (Created, EventKind::Create(CreateKind::File)),
        (Removed, EventKind::Remove(RemoveKind::File)),
        (Renamed, EventKind::Modify(ModifyKind::Name(RenameMode::Any))),
        (InodeMetaMod, EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any))),
        (
            XattrMod,
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Extended)),
        ),
        (Modified, EventKind::Modify(ModifyKind::Data(DataChange::Content))),
    ];
    let set = kinds.into_iter().filter(|(flag, _)| flags.contains(flag));
    set.map(|(_, kind)| Event::new(kind).add_path(path.into())).collect()
}

/// Makes a survey in which `/private/var/p` is followed as `/var/p`, which is a link on a Mac: `lib/c.ts` and
/// `größe.ts` as files, `functions` with `functions/steps` as a tree.
fn survey() -> Survey {
    let folder = |ways: &[&str], files: &[&str], trees: &[&str]| Folder {
        ways: ways.iter().map(Into::into).collect(),
        files: files
            .iter()
            .map(|file| (Path::new(file).file_name().unwrap().to_owned(), [file.into()].into()))
            .collect(),
        trees: trees.iter().map(Into::into).collect(),
        ..Folder::default()
    };
    let mut survey = Survey::default();
    for (path, folder) in [
        ("/", folder(&["var", "private"], &[], &[])),
        ("/private", folder(&["var"], &[], &[])),
        ("/private/var", folder(&["p"], &[], &[])),
        (
            "/private/var/p",
            folder(&["lib", "functions"], &["/var/p/größe.ts"], &[]),
        ),
        ("/private/var/p/lib", folder(&[], &["/var/p/lib/c.ts"], &[])),
        ("/private/var/p/functions", folder(&[], &[], &["/var/p/functions"])),
        (
            "/private/var/p/functions/steps",
            folder(&[], &[], &["/var/p/functions/steps"]),
        ),
    ] {
        survey.folders.insert(path.into(), folder);
    }
    survey.spellings = Spellings::of(NameComparison::Loose, survey.folders.keys());
    survey
}

/// Returns the changes that are told of such events, one event each millisecond, and the times at which they are
/// told; `*` stands for everything. `there` gives the kind of an entry on the disk when it is looked at.
fn told(events: &[(&str, &[Item])], there: impl Fn(&Path) -> EntryKind) -> Vec<(u64, Vec<String>)> {
    let events = events.iter().map(|(path, flags)| told_by_notify(path, flags));
    told_of(events.collect(), there)
}

fn told_of(events: Vec<Vec<Event>>, there: impl Fn(&Path) -> EntryKind) -> Vec<(u64, Vec<String>)> {
    let (survey, start) = (survey(), Instant::now());
    let mut settle = UnsettledChanges::default();
    for (at, events) in events.into_iter().enumerate() {
        let now = start + Duration::from_millis(at as u64);
        assert_eq!(settle.take(now), None, "nothing is told between them");
        for event in events {
            assert!(!is_noise(&Ok(event.clone())), "{event:?}");
            for event in translate(Ok(event)) {
                match event {
                    entry_event::EntryEvent::Lost => settle.note(now, ChangeSubject::Everything, Progress::Complete),
                    entry_event::EntryEvent::Entry(path, what) => {
                        let Some(finding) = judge(&survey, &path, what, &there) else {
                            continue;
                        };
                        for path in finding.paths {
                            settle.note(now, ChangeSubject::Path(path), finding.progress);
                        }
                        if finding.everything {
                            settle.note(now, ChangeSubject::Everything, finding.progress);
                        }
                    }
                }
            }
        }
    }
    let mut told = Vec::new();
    while let Some(due) = settle.due() {
        let change = settle.take(due).expect("it is due");
        let everything = change.rescan.then(|| "*".to_owned());
        let paths = change.paths.iter().map(|path| path.display().to_string());
        let millis = u64::try_from((due - start).as_millis()).expect("a short time");
        told.push((millis, paths.chain(everything).collect()));
    }
    told
}

const FILE: fn(&Path) -> EntryKind = |_| EntryKind::File;
const MISSING: fn(&Path) -> EntryKind = |_| EntryKind::Missing;
/// The longer silence, after which a file that may be being written is told.
const LONG: u64 = 30;

#[track_caller]
fn check(events: &[(&str, &[Item])], there: impl Fn(&Path) -> EntryKind, expected: &[(u64, &[&str])]) {
    let told = told(events, there);
    let told: Vec<(u64, Vec<&str>)> = told
        .iter()
        .map(|(at, paths)| (*at, paths.iter().map(String::as_str).collect()))
        .collect();
    let expected: Vec<(u64, Vec<&str>)> = expected.iter().map(|(at, paths)| (*at, paths.to_vec())).collect();
    assert_eq!(told, expected, "{events:?}");
}

const C: &str = "/private/var/p/lib/c.ts";
const TOLD_C: &[&str] = &["/var/p/lib/c.ts"];
const A: &str = "/private/var/p/functions/a.ts";
const TOLD_A: &[&str] = &["/var/p/functions/a.ts"];

/// <https://github.com/notify-rs/notify/issues/147>: flags stick to a path for up to half a minute, so that a file
/// that is written to is told as created, too.
#[test]
fn a_save_of_a_file_that_was_made_a_moment_ago_is_told_once() {
    check(&[(C, &[Created, Modified])], FILE, &[(LONG, TOLD_C)]);
    check(
        &[(A, &[Created, InodeMetaMod, XattrMod, Modified])],
        FILE,
        &[(3, TOLD_A)],
    );
    check(
        &[(C, &[Modified]), (C, &[Modified]), (C, &[Created, Modified])],
        FILE,
        &[(LONG + 2, TOLD_C)],
    );
}

/// <https://github.com/fsevents/fsevents/issues/31>: removed and made again has the flags of made and removed.
#[test]
fn what_was_removed_and_made_again_is_told_whatever_came_last() {
    for there in [FILE, MISSING] {
        check(&[(C, &[Created, Removed])], there, &[(LONG, TOLD_C)]);
        check(
            &[(A, &[Created, Removed]), (A, &[Created, Removed])],
            there,
            &[(LONG + 1, TOLD_A)],
        );
        check(&[(C, &[Created, Removed, Modified])], there, &[(LONG, TOLD_C)]);
    }
}

/// <https://github.com/ocaml/dune/pull/13381>: a file that is moved over another one may have the flag of a new one.
#[test]
fn a_save_by_a_rename_is_complete_with_whatever_flags_it_comes() {
    let temporary = "/private/var/p/lib/.c.ts.tmp";
    for flags in [
        &[Renamed][..],
        &[Created, Renamed],
        &[Created, Renamed, Modified],
        &[Renamed, InodeMetaMod, XattrMod, Modified],
    ] {
        check(&[(temporary, &[Created, Renamed]), (C, flags)], FILE, &[(4, TOLD_C)]);
        check(&[(C, flags)], FILE, &[(3, TOLD_C)]);
    }
    // As Vim does it: the old one is moved away first.
    check(
        &[
            (C, &[Renamed]),
            ("/private/var/p/lib/c.ts~", &[Renamed]),
            (C, &[Created, Renamed, Modified]),
        ],
        FILE,
        &[(5, TOLD_C)],
    );
}

/// <https://github.com/notify-rs/notify/pull/371>: both sides are told alike, so that only the disk says which is
/// which; <https://github.com/fsevents/fsevents/issues/361>: they come in any order.
#[test]
fn both_sides_of_a_rename_are_told_together_in_any_order() {
    let b = "/private/var/p/functions/b.ts";
    let there = |path: &Path| {
        if path.ends_with("b.ts") {
            EntryKind::File
        } else {
            EntryKind::Missing
        }
    };
    let both: &[&str] = &["/var/p/functions/a.ts", "/var/p/functions/b.ts"];
    check(&[(A, &[Renamed]), (b, &[Renamed])], there, &[(LONG, both)]);
    check(&[(b, &[Renamed]), (A, &[Renamed])], there, &[(LONG + 1, both)]);
    check(&[(b, &[Renamed]), (A, &[Created, Renamed])], there, &[(LONG + 1, both)]);
    // Into or out of what is watched, there is one side.
    check(&[(A, &[Renamed])], MISSING, &[(LONG, TOLD_A)]);
    check(&[(A, &[Renamed])], FILE, &[(3, TOLD_A)]);
}

/// <https://github.com/samuelcolvin/watchfiles/issues/368>: after a rename of the case alone both names are there.
#[test]
fn a_rename_of_the_case_alone_is_told_under_the_name_that_is_followed() {
    let upper = "/private/var/p/lib/C.ts";
    check(&[(C, &[Renamed]), (upper, &[Renamed])], FILE, &[(4, TOLD_C)]);
    check(&[(upper, &[Renamed])], FILE, &[(3, TOLD_C)]);
    let upper = "/private/var/p/functions/A.ts";
    check(
        &[(A, &[Renamed]), (upper, &[Renamed])],
        FILE,
        &[(4, &["/var/p/functions/A.ts", "/var/p/functions/a.ts"])],
    );
}

/// <https://github.com/guard/rb-fsevent/issues/15>: a folder whose case has changed, or that was asked for in another
/// case, has its events under the name that is on the disk.
#[test]
fn events_are_of_a_folder_however_its_name_is_written() {
    for path in [
        "/private/var/p/Lib/c.ts",
        "/private/var/P/lib/C.ts",
        "/PRIVATE/var/p/LIB/C.TS",
    ] {
        check(&[(path, &[Modified])], FILE, &[(LONG, TOLD_C)]);
    }
    check(
        &[("/private/var/p/functions/Steps/b.ts", &[Modified])],
        FILE,
        &[(LONG, &["/var/p/functions/steps/b.ts"])],
    );
    // Composed or not, an umlaut is one letter to the file system.
    check(
        &[("/private/var/p/gro\u{308}\u{df}e.ts", &[Modified])],
        FILE,
        &[(LONG, &["/var/p/größe.ts"])],
    );
    check(&[("/private/var/p/other/c.ts", &[Modified])], FILE, &[]);
}

/// <https://github.com/NucleusFramework/Nucleus/issues/442>: events have real paths, `/private/var` for `/var`.
#[test]
fn a_real_path_is_told_as_the_one_that_leads_through_a_link() {
    check(&[(C, &[Modified])], FILE, &[(LONG, TOLD_C)]);
    check(
        &[("/private/var/p/functions/steps/new.ts", &[Created, Modified])],
        FILE,
        &[(LONG, &["/var/p/functions/steps/new.ts"])],
    );
    check(&[("/var", &[Renamed])], |_| EntryKind::Link, &[(3, &["*"])]);
    check(&[("/private/var/p", &[Renamed])], MISSING, &[(LONG, &["*"])]);
}

/// Finder and the quarantine write attributes; notify's `ROOT_CHANGED`, mounts and dropped events are folders' own.
#[test]
fn what_is_said_of_folders_and_attributes_alone_is_told() {
    check(&[(C, &[XattrMod])], FILE, &[(3, TOLD_C)]);
    check(&[("/private/var/p/lib", &[Modified])], |_| EntryKind::Folder, &[]);
    check(
        &[("/private/var/p/functions/steps", &[Removed])],
        MISSING,
        &[(LONG, &["/var/p/functions/steps", "*"])],
    );
    let of_folder = |kind| vec![vec![Event::new(kind).add_path("/private/var/p/functions/steps".into())]];
    let root_changed = EventKind::Modify(ModifyKind::Name(RenameMode::From));
    let both = || vec!["/var/p/functions/steps".to_owned(), "*".to_owned()];
    assert_eq!(told_of(of_folder(root_changed), MISSING), [(LONG, both())]);
    assert_eq!(
        told_of(of_folder(EventKind::Create(CreateKind::Other)), |_| EntryKind::Folder),
        [(LONG, both())]
    );
    let dropped = Event::new(EventKind::Other)
        .set_flag(Flag::Rescan)
        .add_path("/private/var/p".into());
    assert_eq!(told_of(vec![vec![dropped]], FILE), [(3, vec!["*".to_owned()])]);
}
