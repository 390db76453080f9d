//! `lab`: every server at once, until a signal.

use std::path::Path;

use portolan::lab::{Lab, Ports};
use portolan::net::pcap::Capture;
use portolan::{Error, Kind};
use serde_json::json;

use super::capture::captured;
use super::connections::Connections;
use super::descriptors;
use super::signals::{Signals, say_stopping};
use crate::args::applies::Given;
use crate::args::lab::{LabArgs, Ports as PortsArg};
use crate::console::Console;
use crate::exit::Exit;

/// Starts the lab, says where its servers are, and drains it on SIGINT or SIGTERM; a second signal
/// ends it at once.
///
/// # Errors
/// What kept it from starting.
pub async fn run(args: &LabArgs, given: &Given, console: &Console) -> Result<Exit, Error> {
    args.fault.validate(given)?;
    captured(&args.pcap, console, async |capture, console| serve(args, capture, console).await)
        .await
}

async fn serve(args: &LabArgs, capture: Option<Capture>, console: &Console) -> Result<Exit, Error> {
    let mut signals = Signals::catch()?;
    descriptors::raise();
    let lab = start(args, capture, console).await?;
    if let Some(file) = &args.ca {
        write_ca(file, lab.ca_pem())?;
    }
    announce(&lab, console)?;
    signals.next().await;
    say_stopping(console);
    tokio::select! {
        () = lab.stop() => {}
        () = signals.next() => {}
    }
    Ok(Exit::DONE)
}

async fn start(args: &LabArgs, capture: Option<Capture>, console: &Console) -> Result<Lab, Error> {
    let ports = match args.ports {
        Some(PortsArg::Ephemeral) => Ports::Ephemeral,
        None => Ports::Base(args.port_base),
    };
    let console = *console;
    let mut builder = Lab::builder()
        .ports(ports)
        .faults(args.fault.plan())
        .capture(capture)
        .observe_with(move |name| Connections::of_server(Some(name), &console));
    if !args.only.is_empty() {
        builder = builder.only(args.only.clone());
    }
    builder.start().await.map_err(|error| match error.kind() {
        Kind::Connect if args.ports.is_none() => {
            error.with_hint("choose other ports with --port-base N, or any with --ports ephemeral")
        }
        // The names in --only were looked at before.
        Kind::Usage => {
            let hint = error.hint().map(str::to_owned);
            let refusal = Error::new(Kind::Usage, "invalid value for --fault").with_source(error);
            hint.into_iter().fold(refusal, Error::with_hint)
        }
        _ => error,
    })
}

fn write_ca(file: &Path, pem: &str) -> Result<(), Error> {
    std::fs::write(file, pem).map_err(|cause| {
        Error::new(Kind::Write, format!("could not write {}", file.display())).with_source(cause)
    })
}

fn announce(lab: &Lab, console: &Console) -> Result<(), Error> {
    for server in lab.servers() {
        if console.is_json() {
            let url = server.url.to_string();
            console.json("listening", &json!({ "name": server.name, "url": url }))?;
        } else {
            console.line(&format!("{:10}  listening on {}", server.name, server.url))?;
        }
    }
    if console.is_json() {
        return console.json("ready", &json!({ "servers": lab.servers().len() }));
    }
    console.note("ready; Ctrl-C stops");
    Ok(())
}
