//! Writes lines of the log without ever keeping the thread that logs waiting: for each place that lines go to, a
//! thread takes the lines from a queue. A pipe that nobody reads, or a disk that hangs, fills the queue. Lines that
//! do not fit are dropped, counted, and told once lines flow again.
//!
//! ```text
//! Gathering ──begin──▶ Flowing ──end──▶ Direct        (at once, where no thread can be started)
//! ```
//!
//! Before the thread is there the queue gathers, since V8 comes up while the process has one thread.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::posix::signals;

/// The most that may wait for one place, in bytes. A single line that is larger is taken when nothing else waits.
const MOST_WAITING: usize = 8 << 20;
/// The most that is written at once.
const CHUNK: usize = 64 << 10;

/// The number of lines that were dropped since the start of this process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The number of lines that this process has dropped.
#[must_use]
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The writer of the lines for one place; see the module's documentation.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<WriterState>);

struct WriterState {
    /// The name of the place that lines go to, for people.
    place: &'static str,
    queue: Mutex<LineQueue>,
    /// Tells that something waits.
    filled: Condvar,
    /// Tells that nothing waits any more.
    emptied: Condvar,
    sink: Mutex<Box<dyn Write + Send>>,
    /// The thread that writes, and a channel that ends with it, until the thread is joined.
    thread: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

#[derive(Default)]
struct LineQueue {
    lines: VecDeque<Vec<u8>>,
    /// The bytes of the lines, and of the lines that are being written.
    bytes: usize,
    dropped: u64,
    course: WriterMode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum WriterMode {
    #[default]
    Gathering,
    Flowing,
    Direct,
}

impl LogWriter {
    pub(super) fn new(place: &'static str, sink: impl Write + Send + 'static) -> Self {
        Self(Arc::new(WriterState {
            place,
            queue: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            sink: Mutex::new(Box::new(sink)),
            thread: Mutex::default(),
        }))
    }

    /// Starts the thread that writes.
    pub(super) fn begin(&self) {
        let shared = self.0.clone();
        let (running, ended) = channel();
        // The new thread may write before this thread knows that it is there.
        self.0.lock().course = WriterMode::Flowing;
        let started = std::thread::Builder::new()
            .name("log writer".to_owned())
            .spawn(move || {
                shared.write_until_the_end();
                drop(running);
            });
        match started {
            Ok(thread) => *self.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some((thread, ended)),
            Err(_) => {
                self.0.lock().course = WriterMode::Direct;
                self.0.write_all();
            }
        }
    }

    /// Waits until everything is written, and ends the thread, until the given time at most. A thread whose sink
    /// takes nothing ends with the process. Later lines are written by the thread that logs them.
    pub(super) fn end(&self, until: Instant) {
        self.flush(until);
        self.0.lock().course = WriterMode::Direct;
        self.0.filled.notify_all();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((thread, ended)) = thread {
            let left = until.saturating_duration_since(Instant::now());
            // Nothing is sent: the channel ends with the thread.
            if ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
                let _ = thread.join();
            }
        }
    }

    /// Waits until everything is written, until the given time at most.
    pub(super) fn flush(&self, until: Instant) {
        let mut queue = self.0.lock();
        if queue.course == WriterMode::Gathering {
            drop(queue);
            return self.begin_and_flush(until);
        }
        while queue.bytes > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.emptied.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Begins and flushes, so that a process that ends before it has begun tells the reason.
    fn begin_and_flush(&self, until: Instant) {
        self.begin();
        self.flush(until);
    }
}

impl Write for LogWriter {
    /// Takes whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl WriterState {
    fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        if queue.bytes > 0 && queue.bytes + line.len() > MOST_WAITING {
            queue.dropped += 1;
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.to_vec());
        let course = queue.course;
        drop(queue);
        match course {
            WriterMode::Gathering => {}
            WriterMode::Flowing => self.filled.notify_one(),
            WriterMode::Direct => self.write_all(),
        }
    }

    fn write_until_the_end(&self) {
        // The signals are for the thread that has asked for them.
        signals::hold(true);
        loop {
            let mut queue = self.lock();
            while queue.lines.is_empty() {
                if queue.course == WriterMode::Direct {
                    return;
                }
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            drop(queue);
            self.write_all();
        }
    }

    /// Writes the lines that wait. A failure is not told: there is no place for it.
    fn write_all(&self) {
        let mut lost = 0;
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (chunk, dropped) = self.lock().take();
            lost += dropped;
            if chunk.is_empty() {
                break;
            }
            let _ = sink.write_all(&chunk);
            let mut queue = self.lock();
            queue.bytes -= chunk.len();
            if queue.bytes == 0 {
                self.emptied.notify_all();
            }
        }
        drop(sink);
        if lost > 0 {
            // The warning comes behind the lines that waited, in every place.
            let place = self.place;
            tracing::warn!(
                place,
                lines = lost,
                "lines of the log were dropped: they were not read in time"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, LineQueue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineQueue {
    /// Returns the next lines to be written, and the number of lines dropped before them of which nobody was told
    /// yet.
    fn take(&mut self) -> (Vec<u8>, u64) {
        let mut chunk = self.lines.pop_front().unwrap_or_default();
        while let Some(next) = self.lines.front()
            && chunk.len() + next.len() <= CHUNK
        {
            chunk.extend_from_slice(next);
            self.lines.pop_front();
        }
        // The number is told when the first chunk has gone that was there when the lines were dropped.
        let dropped = if chunk.is_empty() {
            0
        } else {
            std::mem::take(&mut self.dropped)
        };
        (chunk, dropped)
    }
}

/// Writes to standard error past the lock that Rust has for it: a write that blocks then blocks nobody else.
pub(super) fn standard_error() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd as _;
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    }
}

/// The time that a process takes for its last lines.
pub(super) const LAST_LINES: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::{LogWriter, MOST_WAITING, dropped};

    /// A sink that takes one write for each message, as a pipe that is read now and then.
    struct Stuck {
        turns: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.turns.recv();
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (LogWriter, Sender<()>, Receiver<Vec<u8>>) {
        let (turn, turns) = channel();
        let (written, read) = channel();
        (LogWriter::new("a test", Stuck { turns, written }), turn, read)
    }

    #[test]
    fn who_logs_never_waits_and_what_does_not_fit_is_counted() {
        let (mut writer, turn, read) = stuck();
        writer.begin();
        let line = vec![b'x'; 1 << 20];
        let before = dropped();
        // (One more may be on its way.)
        for _ in 0..12 {
            writer.write_all(&line).unwrap();
        }
        let lost = usize::try_from(dropped() - before).unwrap();
        assert_eq!(lost, 12 - (MOST_WAITING >> 20));
        drop(turn);
        let written: usize = (0..MOST_WAITING >> 20).map(|_| read.recv().unwrap().len()).sum();
        assert_eq!(written, MOST_WAITING);
        writer.flush(Instant::now() + Duration::from_secs(10));
        writer.write_all(b"later\n").unwrap();
        assert_eq!(read.recv().unwrap(), b"later\n");
    }

    #[test]
    fn the_last_lines_have_a_limit_of_time() {
        let (mut writer, turn, read) = stuck();
        writer.write_all(b"before the thread is there\n").unwrap();
        let began = Instant::now();
        writer.flush(began + Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50) && read.try_recv().is_err());
        drop(turn);
        writer.flush(Instant::now() + Duration::from_secs(10));
        assert_eq!(read.try_recv().unwrap(), b"before the thread is there\n");
    }

    #[test]
    fn the_thread_ends_with_the_log_unless_its_place_takes_nothing() {
        let (mut writer, turn, read) = stuck();
        writer.begin();
        writer.write_all(b"line\n").unwrap();
        let began = Instant::now();
        writer.end(began + Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50) && read.try_recv().is_err());
        drop(turn);
        let (mut writer, turn, read) = stuck();
        drop(turn);
        writer.begin();
        writer.write_all(b"line\n").unwrap();
        writer.end(Instant::now() + Duration::from_secs(10));
        assert_eq!(read.try_recv().unwrap(), b"line\n");
        let shared = std::sync::Arc::downgrade(&writer.0);
        assert_eq!(shared.strong_count(), 1, "the thread has nothing of the log any more");
        writer.write_all(b"later\n").unwrap();
        assert_eq!(read.try_recv().unwrap(), b"later\n");
    }

    #[test]
    fn lines_keep_their_order() {
        let (mut writer, turn, read) = stuck();
        writer.begin();
        for at in 0..1000 {
            writeln!(writer, "{at}").unwrap();
        }
        drop(turn);
        writer.flush(Instant::now() + Duration::from_secs(10));
        let all: Vec<u8> = read.try_iter().flatten().collect();
        let expected: String = (0..1000).map(|at| format!("{at}\n")).collect();
        assert_eq!(String::from_utf8(all).unwrap(), expected);
    }
}
