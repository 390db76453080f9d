//! Captures: what the sockets of this process sent and received, as a pcapng file for Wireshark
//! and its kin. It needs no privilege, and what TLS hides can be read.
//!
//! A [`Capture`] is handed to the [`Dialer`](crate::Dialer::with_capture), the
//! [`Listener`](crate::Listener::with_capture) or the
//! [`Datagram`](crate::Datagram::with_capture) whose traffic it is to take in. Connections that
//! were opened before, attempts to connect that failed, and what the system's resolver says are
//! not in it; with both ends of one connection in one capture, it is in there twice.
//!
//! The packets are synthesised. Addresses, ports, the bytes of each stream and their order are
//! true, and the time is that of the call that moved the bytes. How the bytes were cut into
//! segments, when they were acknowledged and whether some were lost, the kernel alone knows: that
//! is made up, without losses. Unix sockets are shown as TCP, and Unix datagrams as UDP, between
//! addresses in 127.1.0.0/16, with a comment that names the socket. The address of a socket that
//! is bound to all addresses is shown as that of its peer where that is on loopback.
//!
//! Nothing is left out: where the file is written slower than the traffic comes, the traffic
//! waits. Where it cannot be written any more, the capture ends and the traffic goes on.
//!
//! The secrets of a TLS connection stand before its first packet that needs them, as decrypting
//! TLS 1.3 demands; so the packets of a handshake reach the file when it has ended.
//!
//! ```
//! use portolan_core::Timeouts;
//! use portolan_net::pcap::Capture;
//! use portolan_net::{Context, Dialer, Listener};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let file = dir.path().join("a.pcapng");
//! let capture = Capture::builder().create(&file)?;
//! let listener = Listener::bind(&"tcp:0".parse()?).await?;
//! let dialer = Dialer::new().with_capture(capture.clone());
//! let cx = Context::new(Timeouts::default());
//! drop(dialer.dial(&listener.local_url().endpoint(), &cx).await?);
//! capture.finish().await?;
//! assert!(std::fs::metadata(&file)?.len() > 0);
//! # Ok(())
//! # }
//! ```

mod capture;
mod datagram;
mod flow;
mod packet;
mod tap;
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

pub use self::capture::{Builder, Capture};
pub(crate) use self::datagram::DatagramTap;
pub(crate) use self::tap::{Ends, Tap, Tapped, WRITE_MAX};

/// Nanoseconds since the epoch of Unix, by the clock on the wall.
fn time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
