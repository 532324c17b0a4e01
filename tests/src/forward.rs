//! An address that leads elsewhere by and by, as a name does whose database failed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Takes connections on loopback and passes them on; gone when dropped.
pub struct Forwarder {
    port: u16,
    to: Arc<AtomicU16>,
    accepting: JoinHandle<()>,
}

impl Forwarder {
    /// To the port `to` of loopback.
    pub async fn to(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let to = Arc::new(AtomicU16::new(to));
        let now = Arc::clone(&to);
        let accepting = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let to = now.load(Ordering::Relaxed);
                tokio::spawn(async move {
                    // Where nothing listens the connection ends, as it would without us.
                    if let Ok(mut there) = TcpStream::connect(("127.0.0.1", to)).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut there).await;
                    }
                });
            }
        });
        Self { port, to, accepting }
    }

    /// New connections lead to this port.
    pub fn lead_to(&self, to: u16) {
        self.to.store(to, Ordering::Relaxed);
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
