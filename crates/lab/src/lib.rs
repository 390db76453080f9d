//! Real local servers, one of each protocol, with faults on demand.
//!
//! A [`Lab`] runs on loopback, mints its own certificate authority at each start, and stops when
//! it is dropped; many can run side by side. It prints nothing.
//!
//! `http` and `https` have the routes of httpbin, with its JSON, and some more: server-sent events,
//! trailers, uploads, and a small linked site for crawlers. Their page `/` lists them; [`routes`]
//! has them for a server of one's own. What a request controls is bounded: pauses to 10 s,
//! generated bodies to 100 KiB (`/drip` to 10 MiB), bodies that are kept to 4 MiB.
//!
//! ```
//! use portolan_lab::Lab;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lab = Lab::builder().only(["tcp", "http"]).start().await?;
//! let url = lab.url("http").ok_or("http was not started")?;
//! assert_eq!(url.host().to_string(), "127.0.0.1");
//! # Ok(())
//! # }
//! ```

mod authority;
mod lab;
mod servers;

pub use lab::{Builder, Lab, Ports, Server};
pub use servers::routes;
