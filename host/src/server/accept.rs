//! Accepts connections, whatever the system says. After a lack of descriptors or memory it closes an idle connection,
//! takes one descriptor of the reserve, and tries again ever less often.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::Instant;

use super::room::{Room, Seat};
use crate::descriptors;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The time between two lines about failures.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// A socket that connections come to.
pub(super) trait Listener: Sync {
    type Accepted: Send;

    fn accepted(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;
}

impl Listener for TcpListener {
    type Accepted = (TcpStream, SocketAddr);

    async fn accepted(&self) -> io::Result<Self::Accepted> {
        self.accept().await
    }
}

impl Listener for UnixListener {
    type Accepted = UnixStream;

    async fn accepted(&self) -> io::Result<Self::Accepted> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// The accepting side of one way in.
pub(super) struct Acceptor {
    room: Room,
    /// Tells whether a descriptor of the reserve was taken for a connection. The reserve gets one back as soon as one
    /// is free.
    owes: bool,
    pause: Duration,
    told: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            owes: false,
            pause: FIRST_PAUSE,
            told: None,
        }
    }

    /// Waits for the next connection, and returns it with its seat. The future may be dropped.
    pub(super) async fn next<L: Listener>(&mut self, listener: &L) -> (L::Accepted, Seat) {
        if std::mem::take(&mut self.owes) {
            descriptors::keep_reserve();
        }
        loop {
            self.room.available().await;
            match listener.accepted().await {
                Ok(stream) => {
                    self.pause = FIRST_PAUSE;
                    return (stream, self.room.seat());
                }
                Err(error) if concerns_one(&error) => {}
                Err(error) => self.make_way(&error).await,
            }
        }
    }

    /// Waits after a lack of descriptors, and closes an idle connection to free one.
    pub(super) async fn make_way(&mut self, error: &io::Error) {
        if self.told.is_none_or(|told| told.elapsed() >= SILENT_FOR) {
            self.told = Some(Instant::now());
            tracing::warn!(%error, "cannot accept a connection");
        }
        if descriptors::lend_one() {
            self.owes = true;
            return;
        }
        if self.room.close_one() {
            // The idle connection goes in a moment.
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells whether a failure is that of one connection, and no reason to wait.
fn concerns_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::{Acceptor, Listener};
    use crate::server::room::Room;

    /// A listener that lacks descriptors so many times.
    struct Lacking(AtomicUsize);

    impl Listener for Lacking {
        type Accepted = ();

        async fn accepted(&self) -> io::Result<()> {
            let one_less = |left: usize| left.checked_sub(1);
            match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
                Ok(_) => Err(io::Error::from_raw_os_error(libc::EMFILE)),
                Err(_) => Ok(()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lack_of_descriptors_costs_idle_connections_and_ever_more_time() {
        let room = Room::of(4);
        let idle = room.seat();
        let mut accepting = Acceptor::new(room);
        let began = Instant::now();
        let ((), _seat) = accepting.next(&Lacking(AtomicUsize::new(9))).await;
        assert!(idle.place().leave.is_cancelled(), "its descriptor was needed");
        assert!(began.elapsed().as_millis() >= 10 + 20, "{:?}", began.elapsed());
    }
}
