//! The standard output and error of an isolate: pipes of its own, read on the host's threads.
//!
//! Text that user code writes with `process.stdout` never gets here (see `console`). Text that bypasses that does:
//! from descriptors 1 and 2, and from children that inherit them. Its lines name the isolate; the call is not known.
//! The isolate's thread may wait for such a child, so the reading happens elsewhere.

use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::OwnedFd;

use deno_runtime::deno_io::{Stdio, StdioPipe};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::console::Stream;
use super::lines::{Lines, PATIENCE};
use crate::control::Name;

/// The number of bytes that are read at once.
const CHUNK: usize = 8 << 10;

/// The most that a pipe holds, unless somebody has made it larger.
const PIPE: usize = 64 << 10;

/// The number of descriptors that Deno opens while an isolate boots: where it has none left, it panics.
const OF_A_BOOT: usize = 8;

/// The ends of the pipes that the host reads.
pub(crate) struct Output {
    stdout: PipeReader,
    stderr: PipeReader,
}

/// The ends of the pipes that an isolate and its workers write to.
pub(crate) struct Pipes {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Makes the standard streams for one isolate, and the output that the host reads from them.
///
/// # Errors
/// When the process has no descriptors left.
pub(crate) fn pipes() -> io::Result<(Pipes, Output)> {
    let (stdout, write_stdout) = io::pipe()?;
    let (stderr, write_stderr) = io::pipe()?;
    let pipes = Pipes {
        stdout: write_stdout.into(),
        stderr: write_stderr.into(),
    };
    Ok((pipes, Output { stdout, stderr }))
}

impl Pipes {
    /// Returns the standard streams for one thread, which is about to boot.
    ///
    /// # Errors
    /// When the process has too few descriptors left for it.
    pub(crate) fn stdio(&self) -> io::Result<Stdio> {
        let room: io::Result<Vec<OwnedFd>> = (0..OF_A_BOOT).map(|_| self.stdout.try_clone()).collect();
        drop(room?);
        Ok(Stdio {
            // The process's own standard input, which is empty.
            stdin: StdioPipe::inherit(),
            stdout: StdioPipe::file(File::from(self.stdout.try_clone()?)),
            stderr: StdioPipe::file(File::from(self.stderr.try_clone()?)),
        })
    }
}

impl Output {
    /// Logs all lines, until nobody can write any more, or `ended` resolves: a process that outlives the isolate
    /// cannot keep its pipes. Text that was written by then is logged still.
    pub(crate) async fn log(self, isolate: Name, ended: impl Future<Output = ()> + Clone) {
        let stdout = log(self.stdout, Stream::Stdout, &isolate, ended.clone());
        let stderr = log(self.stderr, Stream::Stderr, &isolate, ended);
        for outcome in <[_; 2]>::from(futures::join!(stdout, stderr)) {
            if let Err(error) = outcome {
                tracing::warn!(isolate = &*isolate.get(), %error, "cannot read the output of an isolate");
            }
        }
    }
}

async fn log(pipe: PipeReader, stream: Stream, isolate: &Name, ended: impl Future<Output = ()>) -> io::Result<()> {
    let line = |text: &str| tracing::info!(target: "user", isolate = &*isolate.get(), stream = stream.name(), "{text}");
    let mut pipe = pipe::Receiver::from_owned_fd(pipe.into())?;
    let mut lines = Lines::default();
    let mut chunk = [0; CHUNK];
    let mut ended = std::pin::pin!(ended);
    loop {
        tokio::select! {
            read = pipe.read(&mut chunk) => match read? {
                0 => break,
                read => lines.push(&chunk[..read], line),
            },
            () = tokio::time::sleep(PATIENCE), if !lines.is_empty() => lines.end(line),
            () = &mut ended => {
                let mut rest = File::from(pipe.into_nonblocking_fd()?).take(PIPE as u64);
                // An error says that there is nothing left.
                while let Ok(read @ 1..) = rest.read(&mut chunk) {
                    lines.push(&chunk[..read], line);
                }
                break;
            }
        }
    }
    lines.end(line);
    Ok(())
}
