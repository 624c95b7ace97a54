//! A balancer before several hosts: each connection goes to the next of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::executor::Executor;
use crate::http::Door;

/// A running balancer, stopped on drop.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    hosts: Arc<Mutex<Hosts>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Hosts {
    ports: Vec<u16>,
    next: usize,
}

impl Hosts {
    fn next(&mut self) -> Option<u16> {
        self.next += 1;
        let at = self.next.checked_rem(self.ports.len())?;
        self.ports.get(at).copied()
    }
}

impl Balancer {
    /// Listens on a free port of the loopback, before no host yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let hosts = Arc::<Mutex<Hosts>>::default();
        let behind = hosts.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let port = behind.lock().expect("no poison").next();
                // The task ends with its connection, or with the test.
                tokio::spawn(async move {
                    if let Some(port) = port
                        && let Ok(mut host) = TcpStream::connect(("127.0.0.1", port)).await
                    {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut host).await;
                    }
                });
            }
        });
        Self { address, hosts, server }
    }

    /// Gives connections to this host, too.
    pub fn add(&self, port: u16) {
        self.hosts.lock().expect("no poison").ports.push(port);
    }

    /// Gives this host no connection any more.
    pub fn remove(&self, port: u16) {
        self.hosts
            .lock()
            .expect("no poison")
            .ports
            .retain(|known| *known != port);
    }

    /// The origin at which the hosts are reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls the functions as Inngest does.
    #[must_use]
    pub fn executor(&self) -> Executor {
        Executor::new(Door::Tcp(self.address))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.server.abort();
    }
}
