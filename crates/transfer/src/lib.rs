//! Downloads: many at once, each whole or not there.
//!
//! A [`Source`] opens a URL of its scheme, at its beginning or where an earlier try has stopped;
//! [`Downloads`] does the rest: names that are safe, a temporary file beside the target that gets
//! the final name once all is on the disk, going on after a break, checksums. [`HttpSource`] is
//! the first source. Uploads and parts of one file side by side are not here yet.
//!
//! ```
//! use axum::{Router, routing::get};
//! use portolan_core::Timeouts;
//! use portolan_http::{Server, Session};
//! use portolan_net::{Context, Listener};
//! use portolan_transfer::{Download, Downloads, HttpSource, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = Listener::bind(&"http://127.0.0.1:0".parse()?).await?;
//! # let url = listener.local_url().with_path("/chart.txt")?;
//! # let routes = Router::new().route("/chart.txt", get(|| async { "here be dragons" }));
//! # let server = tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let downloads = Downloads::new(HttpSource::new(Session::new()));
//! let download = Download::new(url, Target::Directory(directory.to_owned()));
//! let report = downloads.one(download, &Context::new(Timeouts::default())).await?;
//! assert_eq!(report.path.unwrap(), directory.join("chart.txt"));
//! assert_eq!(report.fetched, 15);
//! # server.abort();
//! # Ok(())
//! # }
//! ```

mod checksum;
mod download;
mod downloads;
mod http;
mod partial;
mod place;
mod sink;
mod source;

pub use checksum::{Algorithm, Checksum};
pub use download::{Download, Progress, Report, Target, Watcher};
pub use downloads::Downloads;
pub use http::HttpSource;
pub use source::{Content, Opened, Resume, Source};
