//! What is told of a server's connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use portolan::net::Observer;
use portolan::{Endpoint, Error, Event, Url};

use crate::console::Console;
use crate::show::connection;
use crate::show::error::Report;
use crate::trace::{self, Trace};

/// Tells of connections as they come and go: in JSON always, in words with `-v`. Who is refused,
/// and what went wrong, is told in words without it too.
pub(super) struct Connections {
    /// Which server's, where there are several.
    name: Option<&'static str>,
    /// What is dialled for each, where something is.
    target: Option<Url>,
    console: Console,
    /// Why the last one that went did so.
    last_failure: Mutex<Option<Arc<Error>>>,
}

impl Connections {
    /// The observer of a server, which has a name where it is one of several.
    pub(super) fn of_server(name: Option<&'static str>, console: &Console) -> Arc<Self> {
        Arc::new(Self { name, target: None, console: *console, last_failure: Mutex::default() })
    }

    /// The observer of a relay to `target`.
    pub(super) fn of_relay(target: &Url, console: &Console) -> Arc<Self> {
        let target = Some(target.clone());
        Arc::new(Self { name: None, target, console: *console, last_failure: Mutex::default() })
    }

    /// Why the last connection that has ended did so, where it was not a plain close.
    pub(super) fn last_failure(&self) -> Option<Arc<Error>> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether anybody is told of `event`: if not, nothing need be put into words.
    fn is_told(&self, event: &Event) -> bool {
        let is_trouble = match event {
            Event::AcceptFailed(_) | Event::Refused { .. } => true,
            Event::Closed { failure, .. } => failure.is_some(),
            _ => false,
        };
        is_trouble || self.console.is_json() || self.console.verbosity() > 0
    }

    fn tell(&self, event: &Event) -> Result<(), Error> {
        let Some(line) = trace::connection(event) else { return Ok(()) };
        let name = self.name.map(|name| format!("{name}: ")).unwrap_or_default();
        // In the lab things go wrong on purpose.
        if let Event::Closed { peer, failure: Some(error), .. } = event
            && self.name.is_none()
        {
            if self.console.is_json() {
                self.console.json("error", &Report::about(error, Some(self.whom(error, peer))))?;
            }
            self.console.note(&line);
        }
        match event {
            Event::AcceptFailed(_) => self.console.note(&format!("{name}{line}")),
            event if self.console.is_json() => {
                if let Some(mut body) = connection::json(event) {
                    body.extend(self.name.map(|name| ("name".to_owned(), name.into())));
                    return self.console.json("connection", &body);
                }
            }
            Event::Refused { .. } => self.console.note(&format!("{name}{line}")),
            Event::Closed { failure: Some(_), .. } if self.name.is_none() => {}
            _ if self.console.verbosity() > 0 => {
                let name = self.name.map(|name| format!("{name} ")).unwrap_or_default();
                self.console.trace(&format!("* {name}{line}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whom an error befell: what was dialled, or the peer.
    fn whom(&self, error: &Error, peer: &Endpoint) -> String {
        let target = self.target.as_ref();
        match target.filter(|target| error.endpoint() == Some(&target.endpoint())) {
            Some(target) => target.to_string(),
            None => peer.to_string(),
        }
    }
}

impl Observer for Connections {
    fn observe(&self, _at: Instant, event: &Event) {
        if let Event::Closed { failure, .. } = event {
            *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure.clone();
        }
        if self.is_told(event) {
            // Where stdout is gone there is nobody left to tell.
            let _ = self.tell(event);
        }
    }

    fn reads_lines(&self) -> bool {
        false
    }

    fn of_connection(&self, peer: &Endpoint) -> Option<Arc<dyn Observer>> {
        let is_traced = self.console.verbosity() > 0 && self.name.is_none();
        is_traced.then(|| Arc::new(Trace::of_peer(&self.console, peer)) as Arc<dyn Observer>)
    }
}
