//! One dialer and one listener that carry every protocol.
//!
//! [`Dialer::dial`] turns an endpoint into a [`Connection`]: it resolves, races addresses
//! (RFC 8305), goes through proxies and speaks TLS. [`Listener`] and [`serve`] are the other end,
//! for datagrams [`Sessions`] and [`serve_datagrams`].
//! [`Context`] carries the deadline and the observers of one operation and holds the only timer, but
//! for the [`Alarm`] of servers that hold many connections.
//! A protocol is what is said on a [`Stream`]; it opens no socket of its own.
//!
//! ```
//! use portolan_core::{Error, Timeouts};
//! use portolan_net::{Connection, Context, Dialer, Listener, serve};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(&"tcp:0".parse()?).await?;
//! let url = listener.local_url();
//! let greet = |mut connection: Connection, _cx: Context| async move {
//!     let _ = connection.stream.write_all(b"ahoy").await;
//!     Ok::<(), Error>(())
//! };
//! let server = tokio::spawn(serve(listener, greet, std::future::pending()));
//!
//! let cx = Context::new(Timeouts::default());
//! let mut connection = Dialer::new().dial(&url.endpoint(), &cx).await?;
//! let mut said = String::new();
//! connection.stream.read_to_string(&mut said).await?;
//! assert_eq!(said, "ahoy");
//! # server.abort();
//! # Ok(())
//! # }
//! ```

mod access;
mod alarm;
mod attempts;
pub mod blocking;
mod connection;
mod context;
mod datagram;
mod dial;
mod eyeballs;
pub mod fault;
mod join;
mod listen;
pub mod pcap;
mod pipe;
pub mod proxy;
pub mod proxy_protocol;
mod resolve;
mod retry;
mod serve;
mod session;
mod stream;
pub mod tls;

pub use access::{Access, Network, NetworkError};
pub use alarm::Alarm;
pub use connection::{Connection, Info};
pub use context::{Context, Observer, Recorder, now};
pub use datagram::Datagram;
pub use dial::{Dialer, Family, Place};
pub use join::{Broken, Carried, Join, Pace, Until, echo, join};
pub use listen::{Incoming, Listener, Share};
pub use resolve::{Resolve, SystemResolver};
pub use retry::{Retry, retry};
pub use serve::{Handler, Rest, serve};
pub use session::{Session, Sessions, serve_datagrams};
pub use stream::{Meter, Stream};
