//! A host process as its supervisor sees it: the supervisor starts it with the listening socket, and speaks with it
//! over a socket that is its standard input.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::event::HostId;
use super::handover_record::{HostRecord, milliseconds};
use super::message::{FromHost, ToHost};
use super::state::HostState;
use crate::posix::{self, Exit};

/// The hidden command that runs a host.
pub const HOST_COMMAND: &str = "host";
/// The option of that command with the number of the listening socket.
pub const LISTENER_OPTION: &str = "--listener";

/// The variables that are for the supervisor alone.
const OURS: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    super::replace::VARIABLE,
];
/// The limit of a line, in bytes: a host sends no longer line.
const LONGEST_LINE: usize = 1 << 16;

/// A host that was started.
#[derive(Debug)]
pub struct Child {
    pub pid: u32,
    pub started: SystemTime,
    stream: tokio::net::UnixStream,
    /// The same socket, to write at once: it holds more than the supervisor ever says.
    speaking: UnixStream,
    /// The bytes of a line that has not ended.
    partial: Vec<u8>,
    /// Tells whether the host will say no more.
    silent: bool,
}

/// A line that a host has said.
#[derive(Debug, PartialEq)]
pub enum HostOutput {
    Message(FromHost),
    Garbage(String),
}

impl Child {
    /// Starts `binary` as a host of the project with the state folder `state`.
    pub fn start(binary: &Path, arguments: &[OsString], state: &Path, listener: &TcpListener) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(binary);
        command
            .arg(HOST_COMMAND)
            .arg(LISTENER_OPTION)
            .arg(listener.as_raw_fd().to_string())
            .args(arguments)
            // The host uses this folder whatever baton.toml says by now.
            .env("BATON_STATE_DIR", state)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // Ctrl-C in a terminal is for the supervisor, which then tells the hosts.
            .process_group(0);
        for variable in OURS {
            command.env_remove(variable);
        }
        // No other thread starts a process meanwhile.
        posix::set_inherited(listener, true)?;
        let started = command.spawn();
        posix::set_inherited(listener, false)?;
        ours.set_nonblocking(true)?;
        let speaking = ours.try_clone()?;
        Ok(Self {
            // The supervisor reaps this child like the children that an earlier program of this process has started.
            pid: started?.id(),
            started: SystemTime::now(),
            stream: tokio::net::UnixStream::from_std(ours)?,
            speaking,
            partial: Vec::new(),
            silent: false,
        })
    }

    /// Sends a message; returns false when the host does not listen.
    pub fn tell(&self, message: &ToHost) -> bool {
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        // A message is small beside the room of the socket: all of it fits, or the host has stopped listening long
        // ago.
        (&self.speaking).write_all(&line).is_ok()
    }

    /// Waits until there is something to hear, and forever once the host has fallen silent.
    pub async fn speaks(&self) {
        if self.silent || self.stream.readable().await.is_err() {
            std::future::pending().await
        }
    }

    /// Returns all lines that the host has said since the last time.
    pub fn hear(&mut self) -> Vec<HostOutput> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.try_read(&mut chunk) {
                Ok(0) => {
                    self.silent = true;
                    break;
                }
                Ok(read) => self.partial.extend(chunk.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.silent = true;
                    break;
                }
            }
        }
        let mut heard = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            heard.push(understand(&line));
        }
        if self.partial.len() > LONGEST_LINE {
            heard.push(understand(&std::mem::take(&mut self.partial)));
        }
        heard
    }

    pub fn kill(&self) {
        if let Err(error) = posix::kill(self.pid, posix::Signal::SIGKILL) {
            tracing::warn!(%error, host = self.pid, "cannot end a host");
        }
    }

    pub fn lived(&self) -> Duration {
        self.started.elapsed().unwrap_or_default()
    }

    /// Describes the host for the process that this one becomes, which inherits the socket.
    ///
    /// # Errors
    /// When the socket cannot be inherited.
    pub fn record(&self, id: HostId, known: HostState) -> io::Result<HostRecord> {
        posix::set_inherited(&self.stream, true)?;
        Ok(HostRecord {
            id,
            pid: self.pid,
            stream: self.stream.as_raw_fd(),
            started_ms: milliseconds(self.started),
            partial: self.partial.clone(),
            role: known.role,
            version: known.version,
            load_ms: u64::try_from(known.load.as_millis()).unwrap_or(u64::MAX),
            pings: known.pings,
        })
    }

    /// Keeps the socket for this process alone, which goes on after all.
    pub fn keep_socket(&self) {
        let _ = posix::set_inherited(&self.stream, false);
    }

    /// Takes over a host that the process before this one has started.
    ///
    /// # Errors
    /// When its socket is not open.
    pub fn adopt(record: &HostRecord) -> io::Result<Self> {
        let stream = UnixStream::from(posix::take_inherited(record.stream)?);
        stream.set_nonblocking(true)?;
        let speaking = stream.try_clone()?;
        Ok(Self {
            pid: record.pid,
            started: record.started(),
            stream: tokio::net::UnixStream::from_std(stream)?,
            speaking,
            partial: record.partial.clone(),
            // The socket of a silent host tells again that it is closed.
            silent: false,
        })
    }
}

fn understand(line: &[u8]) -> HostOutput {
    match serde_json::from_slice(line) {
        Ok(message) => HostOutput::Message(message),
        Err(_) => HostOutput::Garbage(String::from_utf8_lossy(line).trim().chars().take(80).collect()),
    }
}

/// Describes for people how a host ended.
pub fn describe(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exit code {code}"),
        Exit::Signal(signal) => format!("signal {signal}"),
    }
}

/// Returns the binary that this process runs, also when another one has taken its place on the disk.
pub fn same_binary() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    if cfg!(target_os = "linux") && !is_this_process(&path) {
        return Ok(PathBuf::from("/proc/self/exe"));
    }
    Ok(path)
}

#[cfg(target_os = "linux")]
fn is_this_process(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
    identity(path).is_some_and(|file| Some(file) == identity(Path::new("/proc/self/exe")))
}

#[cfg(not(target_os = "linux"))]
const fn is_this_process(_: &Path) -> bool {
    true
}

/// Returns the path at which the binary of this process was found: a newer binary is expected there. A link is not
/// followed, for it leads to the newer binary later.
pub fn usual_binary() -> PathBuf {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = if called.components().count() > 1 {
        std::path::absolute(&called).ok()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut all = std::env::split_paths(&path).map(|folder| folder.join(&called));
        all.find(|candidate| candidate.is_file())
    };
    found
        .filter(|path| path.is_file())
        .or_else(|| std::env::current_exe().ok())
        .unwrap_or(called)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HostOutput, understand};
    use crate::supervisor::message::{FromHost, ToHost};

    #[test]
    fn what_is_no_message_is_told_as_it_came_but_not_at_length() {
        assert_eq!(
            understand(b"{\"says\":\"booted\"}\n"),
            HostOutput::Message(FromHost::Booted)
        );
        let garbage = [b'x'; 5000];
        assert_eq!(understand(&garbage), HostOutput::Garbage("x".repeat(80)));
    }

    /// A host may run another binary than it should, or a damaged one.
    #[test]
    fn fuzz_of_messages() {
        const PARTS: &[&[u8]] = &[
            b"{\"says\":\"hello\",\"protocol\":1,\"version\":\"0.1.0\",\"load_ms\":60000,\"record\":1}\n",
            b"{\"says\":\"booted\"}\n",
            b"{\"says\":\"ready\",\"generation\":7}\n",
            b"{\"says\":\"failed\",\"message\":\"m\"}\n",
            b"{\"says\":\"numbers\",\"current\":null,\"newest\":18446744073709551615,\"last_good\":true}\n",
            b"{\"do\":\"load\",\"occasion\":\"start\",\"before\":{}}\n",
            b"{\"do\":\"resume\",\"given\":1}\n",
            b"{\"do\":\"upgraded\",\"ticket\":1,\"result\":{\"Ok\":{}}}\n",
            b"{",
            b"}",
            b"[",
            b"]",
            b"\"",
            b":",
            b",",
            b"null",
            b"-1",
            b"1e999",
            b"\"says\":",
            b"\"\\ud800\"",
            b"\n",
        ];
        crate::fuzz::fuzz("messages", &crate::fuzz::bytes_of(PARTS, 12), |bytes| {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                match understand(line) {
                    HostOutput::Message(message) => {
                        let again = understand(&serde_json::to_vec(&message).unwrap());
                        prop_assert_eq!(again, HostOutput::Message(message));
                    }
                    HostOutput::Garbage(said) => prop_assert!(said.chars().count() <= 80),
                }
                if let Ok(order) = serde_json::from_slice::<ToHost>(line) {
                    let again = serde_json::from_slice(&serde_json::to_vec(&order).unwrap());
                    prop_assert_eq!(again.ok(), Some(order));
                }
            }
            Ok(())
        });
    }
}
