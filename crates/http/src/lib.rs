//! HTTP/1.1 and HTTP/2 (RFC 9110, 9112, 9113), client and server, over the streams of
//! `portolan-net`.
//!
//! [`Client`] sends requests over one connection and times them as `send`, `wait` and `receive`;
//! [`Server`] answers with axum's routes on any listener. Which version is spoken is settled by
//! ALPN. Pools, redirects, cookies and file serving are not here yet.
//!
//! ```
//! use axum::{Router, routing::get};
//! use portolan_core::Timeouts;
//! use portolan_http::{Client, Server};
//! use portolan_net::{Context, Dialer, Listener};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(&"http://127.0.0.1:0".parse()?).await?;
//! let url = listener.local_url();
//! let routes = Router::new().route("/", get(|| async { "ahoy" }));
//! let server = tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
//!
//! let cx = Context::new(Timeouts::default());
//! let mut client = Client::connect(&Dialer::new(), &url, &cx).await?;
//! let mut response = client.get(&cx).await?;
//! assert_eq!(response.receive(1024, &cx).await?.bytes, "ahoy");
//! # server.abort();
//! # Ok(())
//! # }
//! ```

mod answer;
mod auth;
mod body;
mod charset;
mod client;
mod cookies;
mod decode;
mod disposition;
mod error;
mod events;
mod lines;
mod multipart;
mod netrc;
mod redirect;
mod request;
mod response;
mod retries;
mod server;
mod session;
mod watch;

pub use answer::{Answer, Received, Sent};
pub use auth::{Auth, Challenge, DigestSession};
pub use body::{Body, Piece};
pub use client::{Client, Protocol, RECEIVE, SEND, WAIT};
pub use cookies::Jar;
pub use disposition::{file_name, safe_name};
pub use error::{HttpError, Speaks};
pub use events::{EventParser, ServerEvent};
pub use multipart::{Form, Part};
pub use netrc::{Login, Netrc};
pub use redirect::{Redirect, Redirects};
pub use request::{Request, RequestBuilder};
pub use response::{Hop, Response};
pub use retries::Retries;
pub use server::{Server, upgrade};
pub use session::{IntoUrl, Session};
