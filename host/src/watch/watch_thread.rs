//! The thread that watches: all parts of the watch meet here, and nothing is decided here.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use notify::Watcher;

use super::changes::ChangeSender;
use super::coverage::{Coverage, Polling};
use super::entry_event::{EntryChange, EntryEvent, is_noise, translate};
use super::poll::Poll;
use super::relevance::{EntryKind, judge};
use super::set::WatchSet;
use super::settle::{ChangeSubject, Progress, UnsettledChanges};
use super::survey::Survey;

/// The number of events that are taken before anything else is done. The survey is made once for a
/// burst, not for each of its events; and a burst that never ends does not hold up the changes that
/// are due.
const AT_ONCE: usize = 4096;

/// The shortest time between two looks, whatever is asked for.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// The rest after a look, in durations of the look: looking takes at most a twentieth of a shared
/// disk's time.
const REST_FOR_A_LOOK: u32 = 19;

/// A message to the thread.
#[derive(Debug)]
pub(super) enum Message {
    Follow(WatchSet),
    Happened(notify::Result<notify::Event>),
    Stop,
}

/// The thread that watches, with its state.
pub(super) struct Worker {
    set: WatchSet,
    survey: Survey,
    /// Tells whether the survey may be out of date.
    is_doubtful: bool,
    coverage: Coverage,
    poll: Poll,
    /// The time of the next look.
    next_look: Instant,
    interval: Duration,
    settle: UnsettledChanges,
    teller: ChangeSender,
}

impl Worker {
    /// Makes a worker. `inbox` leads to the messages that [`Worker::run`] is given.
    pub(super) fn new(polling: Polling, inbox: Sender<Message>, teller: ChangeSender) -> Self {
        let make_watcher = move || {
            let inbox = inbox.clone();
            let handler = move |event| {
                if !is_noise(&event) {
                    // Sending fails while the thread ends.
                    let _ = inbox.send(Message::Happened(event));
                }
            };
            let watcher = notify::recommended_watcher(handler)?;
            Ok(Box::new(watcher) as Box<dyn Watcher + Send>)
        };
        Self {
            set: WatchSet::default(),
            survey: Survey::default(),
            is_doubtful: false,
            coverage: Coverage::new(polling, Box::new(make_watcher)),
            poll: Poll::default(),
            next_look: Instant::now(),
            interval: polling.interval.max(SHORTEST_INTERVAL),
            settle: UnsettledChanges::default(),
            teller,
        }
    }

    /// Watches until it is told to stop.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let mut message = match self.wait(inbox) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut taken = 0;
            while let Some(next) = message {
                match next {
                    Message::Stop => return,
                    Message::Follow(set) => self.follow(set),
                    Message::Happened(event) => self.happened(event),
                }
                taken += 1;
                message = if taken < AT_ONCE { inbox.try_recv().ok() } else { None };
            }
            if !self.poll.is_empty() && self.next_look <= Instant::now() {
                self.look();
            }
            // The survey comes before anything is told, so that new folders are watched by then.
            // (If every turn finds something new, all of it is told again.)
            if self.is_doubtful {
                self.survey_again();
            }
            if let Some(change) = self.settle.take(Instant::now()) {
                self.teller.tell(change);
            }
        }
    }

    fn wait(&self, inbox: &Receiver<Message>) -> Result<Message, RecvTimeoutError> {
        let look = (!self.poll.is_empty()).then_some(self.next_look);
        let now = self.is_doubtful.then(Instant::now);
        match [self.settle.due(), look, now].into_iter().flatten().min() {
            Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn follow(&mut self, set: WatchSet) {
        if set == self.set {
            return;
        }
        let new = set
            .paths
            .difference(&self.set.paths)
            .chain(set.trees.difference(&self.set.trees));
        let new: Vec<_> = new.cloned().collect();
        self.set = set;
        self.survey = Survey::of(&self.set);
        self.cover();
        for path in new {
            self.note(ChangeSubject::Path(path), Progress::Complete);
        }
    }

    fn happened(&mut self, event: notify::Result<notify::Event>) {
        if let Err(error) = &event {
            tracing::debug!(%error, "the system's file events failed");
        }
        for event in translate(event) {
            match event {
                EntryEvent::Entry(path, what) => {
                    if what.replaces() {
                        self.is_doubtful |= self.coverage.doubt(&path);
                    }
                    self.entry(&path, what);
                }
                EntryEvent::Lost => {
                    self.coverage.doubt("/".as_ref());
                    self.is_doubtful = true;
                    self.note(ChangeSubject::Everything, Progress::Complete);
                }
            }
        }
    }

    fn entry(&mut self, path: &Path, what: EntryChange) {
        let Some(finding) = judge(&self.survey, path, what, EntryKind::of) else {
            return;
        };
        self.is_doubtful |= finding.survey;
        for path in finding.paths {
            self.note(ChangeSubject::Path(path), finding.progress);
        }
        if finding.everything {
            self.note(ChangeSubject::Everything, finding.progress);
        }
    }

    /// Finds out where the paths lead now. The thread repeats this until there is nothing new to
    /// watch, since folders are made also while it looks.
    fn survey_again(&mut self) {
        let survey = Survey::of(&self.set);
        for path in self.survey.missing(&survey) {
            self.note(ChangeSubject::Path(path), Progress::Unfinished);
        }
        for path in survey.missing(&self.survey) {
            self.note(ChangeSubject::Path(path), Progress::Gone);
        }
        self.survey = survey;
        if self.cover() {
            // Nobody was told of the entries that a folder held when its watch began.
            self.note(ChangeSubject::Everything, Progress::Unfinished);
        }
    }

    /// Watches the folders of the survey. Returns whether folders are watched that were not before.
    fn cover(&mut self) -> bool {
        let covered = self.coverage.cover(&self.survey);
        self.is_doubtful = covered.fresh;
        if self.poll.is_empty() {
            self.next_look = Instant::now() + self.interval;
        }
        self.poll.cover(&self.survey, self.coverage.polled());
        if covered.interrupted {
            self.note(ChangeSubject::Everything, Progress::Unfinished);
        }
        covered.fresh
    }

    fn look(&mut self) {
        let start = Instant::now();
        for (path, what) in self.poll.look() {
            self.entry(&path, what);
        }
        // The survey finds new entries of a tree, and folders whose events come again.
        self.survey_again();
        let took = start.elapsed();
        self.next_look = start + took + self.interval.max(took * REST_FOR_A_LOOK);
    }

    fn note(&mut self, subject: ChangeSubject, progress: Progress) {
        self.settle.note(Instant::now(), subject, progress);
    }
}
