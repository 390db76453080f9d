//! Serves a directory on one event loop: `cargo run -p portolan-http --example server -- DIR [URL]`.
//!
//! With `cargo run --release` it is what nginx with one worker is to be compared with.

#![expect(clippy::print_stdout, reason = "an example tells where it listens")]

use std::error::Error;

use portolan_http::{Files, Server};
use portolan_net::Listener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let url = arguments.next().unwrap_or_else(|| "http://127.0.0.1:0".to_owned());
    let listener = Listener::bind(&url.parse()?).await?;
    println!("listening on {}", listener.local_url());
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    Server::files(Files::new(directory)?).serve(listener, interrupted).await;
    Ok(())
}
