//! The changes of a folder's entries: the kernel's events in this module's few words.

use std::path::PathBuf;

use notify::EventKind;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};

/// A change, or the loss of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryEvent {
    /// An entry changed.
    Entry(PathBuf, EntryChange),
    /// Changes were not told: there were too many, or reading them failed.
    Lost,
}

/// The kind of a change of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryChange {
    /// The entry was made; a file's contents follow.
    Appeared,
    /// The entry was moved here, complete.
    Moved,
    /// The program that wrote the entry closed it.
    Written,
    /// The entry was written to, and the writing may go on.
    Modified,
    /// The entry was removed or moved away.
    Gone,
    /// The entry was moved here or away.
    Renamed,
    /// The permissions, the owner or the times of the entry changed.
    Attributes,
    /// The change is any of these.
    Unclear,
}

impl EntryChange {
    /// Tells whether the name may stand for another file or folder than before.
    pub(super) const fn replaces(self) -> bool {
        matches!(self, Self::Moved | Self::Gone | Self::Renamed | Self::Unclear)
    }
}

/// Tells whether an event tells of nothing that could matter. Every program that reads a file makes
/// such events, this host too.
pub(super) fn is_noise(event: &notify::Result<notify::Event>) -> bool {
    event.as_ref().is_ok_and(|event| {
        !event.need_rescan()
            && matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
    })
}

/// Translates one event of the kernel into the changes that it tells of.
pub(super) fn translate(event: notify::Result<notify::Event>) -> Vec<EntryEvent> {
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        _ => return vec![EntryEvent::Lost],
    };
    let what = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => EntryChange::Written,
        EventKind::Access(_) => return Vec::new(),
        EventKind::Create(_) => EntryChange::Appeared,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => EntryChange::Gone,
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => EntryChange::Moved,
        // These are told as From and To already, where both sides are known.
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return Vec::new(),
        EventKind::Modify(ModifyKind::Name(_)) => EntryChange::Renamed,
        EventKind::Modify(ModifyKind::Metadata(_)) => EntryChange::Attributes,
        EventKind::Modify(_) => EntryChange::Modified,
        EventKind::Any | EventKind::Other => EntryChange::Unclear,
    };
    event
        .paths
        .into_iter()
        .map(|path| EntryEvent::Entry(path, what))
        .collect()
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, CreateKind, Flag, MetadataKind, ModifyKind, RemoveKind, RenameMode};
    use notify::{ErrorKind, EventKind};

    use super::{EntryChange, EntryEvent, is_noise, translate};

    fn event(kind: EventKind) -> notify::Result<notify::Event> {
        Ok(notify::Event::new(kind).add_path("/a".into()))
    }

    #[test]
    fn each_kind_of_event_has_its_word() {
        for (kind, what) in [
            (
                EventKind::Access(AccessKind::Close(AccessMode::Write)),
                EntryChange::Written,
            ),
            (EventKind::Create(CreateKind::File), EntryChange::Appeared),
            (EventKind::Create(CreateKind::Folder), EntryChange::Appeared),
            (EventKind::Modify(ModifyKind::Any), EntryChange::Modified),
            (
                EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
                EntryChange::Attributes,
            ),
            (EventKind::Modify(ModifyKind::Name(RenameMode::From)), EntryChange::Gone),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), EntryChange::Moved),
            (
                EventKind::Modify(ModifyKind::Name(RenameMode::Any)),
                EntryChange::Renamed,
            ),
            (EventKind::Remove(RemoveKind::Folder), EntryChange::Gone),
            (EventKind::Any, EntryChange::Unclear),
        ] {
            assert!(!is_noise(&event(kind)), "{kind:?}");
            assert_eq!(
                translate(event(kind)),
                [EntryEvent::Entry("/a".into(), what)],
                "{kind:?}"
            );
        }
    }

    #[test]
    fn reading_is_noise() {
        for kind in [
            AccessKind::Open(AccessMode::Any),
            AccessKind::Close(AccessMode::Read),
            AccessKind::Read,
        ] {
            assert!(is_noise(&event(EventKind::Access(kind))));
            assert_eq!(translate(event(EventKind::Access(kind))), []);
        }
    }

    #[test]
    fn an_overflow_and_an_error_mean_that_something_was_lost() {
        let overflow = || Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan));
        let error = || Err(notify::Error::new(ErrorKind::Generic("read".to_owned())));
        assert!(!is_noise(&overflow()) && !is_noise(&error()));
        assert_eq!(translate(overflow()), [EntryEvent::Lost]);
        assert_eq!(translate(error()), [EntryEvent::Lost]);
    }
}
