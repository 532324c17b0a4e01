//! An address that leads elsewhere by and by, as a name does whose database failed over.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Takes connections on loopback and passes them on; gone when dropped.
pub struct Forwarder {
    port: u16,
    to: watch::Sender<u16>,
    accepting: JoinHandle<()>,
}

impl Forwarder {
    /// To the port `to` of loopback.
    pub async fn to(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (to, leads_to) = watch::channel(to);
        let accepting = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut leads_to = leads_to.clone();
                let to = *leads_to.borrow_and_update();
                tokio::spawn(async move {
                    // Where nothing listens the connection ends, as it would without us.
                    if let Ok(mut there) = TcpStream::connect(("127.0.0.1", to)).await {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut from, &mut there) => {}
                            _ = leads_to.changed() => {}
                        }
                    }
                });
            }
        });
        Self { port, to, accepting }
    }

    /// New connections lead to this port; those that there are end.
    pub fn lead_to(&self, to: u16) {
        self.to.send_replace(to);
    }

    /// Nothing passes any more, as when a cable is cut.
    pub fn cut(&self) {
        self.lead_to(0);
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
