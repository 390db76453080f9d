//! `serve http`: the files of a directory.

use std::collections::BTreeSet;
use std::time::Duration;

use portolan::http::{Account, Files, Limits, Server, Upload};
use portolan::net::pcap::Capture;
use portolan::{Error, Kind, Scheme, Timeouts, Url};
use tokio_util::sync::CancellationToken;

use super::access_log::AccessLog;
use crate::args::applies::Given;
use crate::args::listen::Model;
use crate::args::login::Secret;
use crate::args::serve::http::{AuthArgs, ServeHttpArgs};
use crate::args::serve::place::HTTP;
use crate::args::values::Field;
use crate::console::Console;
use crate::exit::Exit;
use crate::run::blocking;
use crate::run::capture::captured;
use crate::run::connections::Connections;
use crate::run::dialer::misfit;
use crate::run::entrance::{Entrance, Protocol};
use crate::run::signals::Signals;
use crate::run::{descriptors, login, models, prompt};

/// Serves until a signal, at which it waits for the requests in flight, however long they take; a
/// second one does not.
///
/// # Errors
/// What kept it from starting.
pub(super) async fn run(
    args: &ServeHttpArgs,
    given: &Given,
    console: &Console,
) -> Result<Exit, Error> {
    let url = url(args);
    given.check(&BTreeSet::from([url.scheme()]))?;
    given.check_serving(url.scheme(), &HTTP.schemes())?;
    args.serving.fault.validate(given)?;
    check(args)?;
    captured(&args.pcap, console, async |capture, console| {
        serve(args, &url, capture, console).await
    })
    .await
}

async fn serve(
    args: &ServeHttpArgs,
    url: &Url,
    capture: Option<Capture>,
    console: &Console,
) -> Result<Exit, Error> {
    let mut signals = Signals::catch()?;
    // It may ask for a password.
    let files = tokio::select! {
        files = files(args, console) => files?,
        () = signals.next() => return Ok(Exit::from(Kind::Interrupted)),
    };
    let log = AccessLog::new(args.access_log, console);
    let mut server = Server::files(files).with_limits(limits(args));
    if log.is_some() {
        server = server.with_access_log();
    }
    descriptors::raise();
    let entrance = entrance(args, url, capture, console);
    let end = CancellationToken::new();
    let serving = async {
        // The limits of the server end a request that comes to nothing.
        let mut listener = entrance.listen().await?.with_drain(Duration::MAX);
        if let Some(log) = log {
            listener = listener.with_observer(log);
        }
        let url = listener.local_url();
        let workers = listener.share(workers(args))?;
        entrance.announce(&url, false)?;
        models::serve(workers, model(args), server, end.cancelled()).await
    };
    tokio::select! {
        served = serving => served?,
        () = signals.second(&end, console) => {}
    }
    Ok(entrance.exit())
}

/// Where to listen.
fn url(args: &ServeHttpArgs) -> Url {
    args.listen.url(args.serving.asks_for_tls(&args.cert))
}

/// An event loop on each core, which is all that a request sees: none of its bytes wakes another
/// thread. A Unix socket has one listener, of which all cores share the work.
pub(super) fn model(args: &ServeHttpArgs) -> Model {
    match url(args).scheme() {
        Scheme::Unix => Model::Async,
        _ => Model::EventLoop,
    }
}

fn workers(args: &ServeHttpArgs) -> usize {
    if args.serving.once || model(args) == Model::Async {
        return 1;
    }
    args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Looks at flags that only make sense together.
fn check(args: &ServeHttpArgs) -> Result<(), Error> {
    if args.serving.once && args.workers.is_some_and(|count| count > 1) {
        return Err(Error::new(Kind::Usage, "--once needs one worker"));
    }
    Ok(())
}

/// The limits of the flags, where 0 is none.
fn limits(args: &ServeHttpArgs) -> Limits {
    let idle = match args.idle_timeout {
        Duration::ZERO => Duration::MAX,
        idle => idle,
    };
    Limits { keep_alive: idle, stall: idle, ..Limits::default() }
}

fn entrance<'a>(
    args: &'a ServeHttpArgs,
    url: &'a Url,
    capture: Option<Capture>,
    console: &'a Console,
) -> Entrance<'a> {
    let connect = Some(args.connect_timeout).filter(|limit| !limit.is_zero());
    Entrance {
        args: &args.serving,
        url,
        timeouts: Timeouts { connect, operation: None, idle: None },
        protocol: Some(Protocol { alpn: &["h2", "http/1.1"] }),
        is_behind_proxy: false,
        cert: args.cert.files(),
        capture,
        console,
        connections: Connections::of_server(None, console),
    }
}

/// The directory, as its flags want it served.
async fn files(args: &ServeHttpArgs, console: &Console) -> Result<Files, Error> {
    let ServeHttpArgs { dir, pages, upload, .. } = args;
    let files = Files::new(dir).map_err(|error| match error.kind() {
        Kind::NotFound => misfit(&[("DIR", dir)], error).with_hint("name a directory that exists"),
        _ => error,
    })?;
    let mut files = files
        .with_index(Some(&pages.index))
        .with_listing(!pages.no_listing)
        .with_spa(pages.spa)
        .with_cors(pages.cors)
        .with_hidden(pages.hidden)
        .with_follow_symlinks(pages.follow_symlinks);
    for Field { name, value } in &pages.header {
        files = files.with_header(name.clone(), value.clone());
    }
    for account in accounts(&args.auth, console).await? {
        files = files.with_auth(account);
    }
    if upload.upload {
        let taken = Upload::default().with_overwrite(upload.overwrite);
        let taken = upload.upload_max.into_iter().fold(taken, Upload::with_max);
        files = files.with_upload(taken);
    }
    Ok(files)
}

/// Who may come in. A password that has no hash yet is in the variable, or is asked for.
async fn accounts(args: &AuthArgs, console: &Console) -> Result<Vec<Account>, Error> {
    let mut accounts = Vec::new();
    for Secret(text) in &args.auth {
        if text.is_empty() || text.starts_with(':') {
            return Err(Error::new(Kind::Usage, "the USER of --auth is empty"));
        }
        if let Some((user, _)) = text.split_once(':') {
            let account = text.parse::<Account>().map_err(|error| {
                let hint = error.hint().unwrap_or_default().to_owned();
                let message = format!("invalid value for --auth {user}");
                Error::new(Kind::Usage, message).with_source(error).with_hint(hint)
            });
            accounts.push(account?);
            continue;
        }
        let user = text.clone();
        let password = match &args.password_env {
            Some(name) => login::variable(name)?,
            None => prompt::password(&user, console).await.map_err(with_hash)?,
        };
        accounts.push(blocking(move || Account::new(user, &password)).await?);
    }
    Ok(accounts)
}

/// A server may be started where nobody can be asked.
fn with_hash(error: Error) -> Error {
    match error.kind() {
        Kind::Usage => error.with_hint(
            "give its hash, as in --auth 'ann:$argon2id$…', or a variable with --password-env",
        ),
        _ => error,
    }
}
