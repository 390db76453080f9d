//! Our library's server of one route that answers with JSON: this very program runs it, as a
//! process of one event loop, when it is told to.

use std::net::SocketAddr;
use std::process::Command;

use axum::routing::get;
use axum::{Json, Router};
use portolan_http::Server;
use portolan_net::Listener;
use serde::Serialize;

/// What is answered.
#[derive(Serialize)]
struct Message {
    message: &'static str,
}

/// The command that serves at this address.
pub(crate) fn command(address: SocketAddr) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve-json").arg(address.to_string());
    Ok(command)
}

/// Serves at this address until the process ends.
pub(crate) fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = Listener::bind(&format!("http://{address}").parse()?).await?;
        let answer = async || Json(Message { message: "Hello, World!" });
        let server = Server::new(Router::new().route("/json", get(answer)));
        // As a task: what is awaited outside of one wakes the loop by way of the kernel.
        Ok(tokio::spawn(server.serve(listener, std::future::pending())).await?)
    })
}
