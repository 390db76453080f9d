//! Blocking I/O: a thread for each connection, `std::io::Read` and `Write`, and no runtime in sight.
//!
//! [`bind`] makes the same [`Listener`] as everywhere, so limits, TLS, access lists, observers and
//! time limits are set in the same way. All that precedes a usable connection, the handshake of TLS
//! too, is done by one event loop inside [`serve`]; a connection has a thread only while it is
//! handled. [`Threads`] does the same within an asynchronous [`serve`](crate::serve).
//!
//! It is right for up to some hundreds of connections and for handlers that call what blocks. Each
//! has a stack, and each message wakes a thread: with small ones half as many pass as through an
//! event loop.
//!
//! ```
//! use std::io::{self, BufRead, BufReader, Write};
//!
//! use portolan_core::Timeouts;
//! use portolan_net::{Context, Dialer, blocking};
//!
//! fn greet_then_echo(connection: blocking::Connection, _cx: Context) -> io::Result<()> {
//!     let mut writer = connection.stream;
//!     let reader = BufReader::new(writer.try_clone()?);
//!     writer.write_all(b"ahoy\n")?;
//!     for line in reader.lines() {
//!         match line?.as_str() {
//!             "exit" => break,
//!             line => writeln!(writer, "{line}")?,
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = blocking::bind(&"tcp:0".parse()?)?;
//! let url = listener.local_url();
//! let (stop, stopped) = std::sync::mpsc::channel();
//! let shutdown = move || stopped.recv().unwrap_or_default();
//! let server = std::thread::spawn(|| blocking::serve(listener, greet_then_echo, shutdown));
//!
//! let cx = Context::new(Timeouts::default());
//! let mut client = blocking::dial(&Dialer::new(), &url, &cx)?;
//! client.stream.write_all(b"land in sight\nexit\n")?;
//! assert_eq!(io::read_to_string(client.stream)?, "ahoy\nland in sight\n");
//! stop.send(())?;
//! server.join().expect("the server does not panic")?;
//! # Ok(())
//! # }
//! ```
//!
//! This leaves datagrams and protocols that need a runtime to the asynchronous side.

mod echo;
mod serve;
mod stream;

use portolan_core::{Error, Kind, Url};
use tokio::runtime::{Builder, Runtime};

pub use self::echo::echo;
pub use self::serve::{Handler, Threads, serve};
pub use self::stream::Stream;
use crate::{Context, Dialer, Info, Listener};

/// An established connection: the stream, and what is known about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// The facts.
    pub info: Info,
}

impl Connection {
    /// The same connection with blocking I/O, bounded by the context's limit of idleness.
    fn from_async(connection: crate::Connection, cx: &Context) -> Result<Self, Error> {
        let stream = Stream::from_async(connection.stream, cx)?;
        Ok(Self { stream, info: connection.info })
    }
}

/// [Binds](Listener::bind) a listener where no runtime is, for [`serve`].
///
/// # Errors
/// As for [`Listener::bind`].
pub fn bind(url: &Url) -> Result<Listener, Error> {
    runtime()?.block_on(Listener::bind(url))
}

/// [Dials](Dialer::dial_url) where no runtime is.
///
/// # Errors
/// As for [`Dialer::dial_url`], and [`Kind::Usage`] for a stream that has no blocking form.
pub fn dial(dialer: &Dialer, url: &Url, cx: &Context) -> Result<Connection, Error> {
    let connection = runtime()?.block_on(dialer.dial_url(url, cx))?;
    Connection::from_async(connection, cx)
}

/// One event loop on the calling thread.
fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread().enable_all().build().map_err(|cause| {
        Error::new(Kind::Denied, "could not start an event loop").with_source(cause)
    })
}

#[cfg(test)]
mod tests;
