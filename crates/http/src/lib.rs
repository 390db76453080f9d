//! HTTP/1.1 and HTTP/2 (RFC 9110, 9112, 9113), client and server, over the streams of
//! `portolan-net`.
//!
//! [`get`] fetches one URL. A [`Session`] sends many requests: it keeps connections, cookies and
//! logins, follows redirects, tries again and decodes. [`Client`] is one connection and does none
//! of that. [`Server`] answers with axum's routes on any listener, [`Files`] with the files of a
//! directory. [`blocking`] is the client for programs without a runtime. HTTP/3 and caches are not
//! here.
//!
//! ```
//! use axum::{Router, routing::get};
//! use portolan_http::Server;
//! use portolan_net::Listener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(&"http://127.0.0.1:0".parse()?).await?;
//! let url = listener.local_url();
//! let routes = Router::new().route("/", get(|| async { "ahoy" }));
//! let server = tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
//!
//! let response = portolan_http::get(&url).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.text().await?, "ahoy");
//! # server.abort();
//! # Ok(())
//! # }
//! ```

mod answer;
mod auth;
pub mod blocking;
mod body;
mod charset;
mod client;
mod cookies;
mod decode;
mod disposition;
mod error;
mod events;
mod file_slice;
mod files;
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
pub mod wire;

pub use answer::{Answer, Received, Sent};
pub use auth::{Auth, Challenge, DigestSession};
pub use body::{Body, Piece};
pub use client::{Client, Protocol, RECEIVE, SEND, WAIT};
pub use cookies::Jar;
pub use disposition::{file_name, safe_name};
pub use error::{HttpError, Speaks};
pub use events::{EventParser, ServerEvent};
pub use file_slice::FileSlice;
pub use files::{
    Account, EntityTag, Files, PathError, Ranges, RequestPath, Upload, Validators, Verdict,
};
pub use multipart::{Form, Part};
pub use netrc::{Login, Netrc};
pub use redirect::{Redirect, Redirects};
pub use request::{Prepared, Request};
pub use response::{Events, Hop, Lines, Response};
pub use retries::Retries;
pub use server::{Limits, Server, upgrade};
pub use session::{IntoUrl, Session, get};
