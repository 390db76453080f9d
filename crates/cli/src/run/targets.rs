//! The targets of `probe`: from the command line, a file or the lab.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use portolan::lab::Lab;
use portolan::probe::{Target, check};
use portolan::{Error, Kind, Scheme, Url, redact};

use crate::args::probe::ProbeArgs;
use crate::args::values;

/// The targets from the command line, then those from the file, which may take as long as who
/// writes it likes.
///
/// # Errors
/// [`Kind::Usage`] for one that cannot be probed, [`Kind::Read`] for the file.
pub(super) fn given(args: &ProbeArgs) -> Result<Vec<Target>, Error> {
    let mut targets: Vec<_> = args.targets.iter().cloned().map(Target::from).collect();
    if let Some(file) = &args.from_file {
        targets.extend(read(file, values::target)?.into_iter().map(Target::from));
        if targets.is_empty() {
            let message = format!("there are no targets in --from-file {}", file.display());
            return Err(Error::new(Kind::Usage, message));
        }
    }
    targets.iter().try_for_each(|target| check(&target.url))?;
    Ok(targets)
}

/// The URLs in `file`, one a line; empty lines and lines that begin with `#` are left out. `-` is
/// stdin.
///
/// # Errors
/// [`Kind::Read`]; [`Kind::Usage`] for a line that is no URL.
pub(super) fn read<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    file: &Path,
    parse: impl Fn(&str) -> Result<Url, E>,
) -> Result<Vec<Url>, Error> {
    let failed = |cause: io::Error| {
        let message = format!("could not read --from-file {}", file.display());
        Error::new(Kind::Read, message).with_source(cause)
    };
    let reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(file).map_err(failed)?))
    };
    let mut urls = Vec::new();
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(failed)?;
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            urls.push(parse(line).map_err(|error| {
                // A password may hold spaces, and the line is still one URL.
                let shown = redact(&line.replace(' ', "%20"));
                let place = format!("--from-file {}, line {number}", file.display());
                let message = format!("invalid value '{shown}' in {place}");
                Error::new(Kind::Usage, message).with_source(error)
            })?);
        }
    }
    Ok(urls)
}

/// Every server of the lab, and its WebSocket; its proxies are probed by going through them to its
/// HTTP server.
pub(super) fn of_lab(lab: &Lab) -> Vec<Target> {
    let http = lab.url("http");
    let targets = lab.servers().iter().filter_map(|server| {
        let name = Some(server.name.to_owned());
        if server.is_proxy {
            Some(Target { name, url: http?.clone(), via: Some(server.url.clone()) })
        } else {
            Some(Target { name, url: server.url.clone(), via: None })
        }
    });
    targets
        .flat_map(|target| {
            let websocket = websocket(&target);
            [Some(target), websocket]
        })
        .flatten()
        .collect()
}

/// The echo of a server of HTTP.
fn websocket(target: &Target) -> Option<Target> {
    let scheme = match target.url.scheme() {
        Scheme::Http if target.via.is_none() => Scheme::Ws,
        Scheme::Https => Scheme::Wss,
        _ => return None,
    };
    let url = Url::from_endpoint(scheme, &target.url.endpoint()).with_path("/ws").ok()?;
    Some(Target { name: Some(scheme.name().to_owned()), url, via: None })
}
