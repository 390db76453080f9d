//! What is told of a server's connections.

use std::sync::Arc;
use std::time::Instant;

use portolan::net::Observer;
use portolan::{Error, Event};

use crate::console::Console;
use crate::show::connection;
use crate::trace;

/// Tells of connections as they come and go: in JSON always, in words with `-v`. Who is refused,
/// and what went wrong, is told in words without it too.
pub(super) struct Connections {
    /// Which server's, where there are several.
    name: Option<&'static str>,
    console: Console,
}

impl Connections {
    /// The observer of a server, which has a name where it is one of several.
    pub(super) fn observer(name: Option<&'static str>, console: &Console) -> Arc<dyn Observer> {
        Arc::new(Self { name, console: *console })
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
        let name = self.name.map(|name| format!("{name}: ")).unwrap_or_default();
        match (event, trace::connection(event)) {
            (Event::AcceptFailed(_), Some(line)) => self.console.note(&format!("{name}{line}")),
            (event, _) if self.console.is_json() => {
                if let Some(mut body) = connection::json(event) {
                    body.extend(self.name.map(|name| ("name".to_owned(), name.into())));
                    return self.console.json("connection", &body);
                }
            }
            (Event::Refused { .. }, Some(line)) => self.console.note(&format!("{name}{line}")),
            // In the lab things go wrong on purpose.
            (Event::Closed { failure: Some(_), .. }, Some(line)) if self.name.is_none() => {
                self.console.note(&line);
            }
            (_, Some(line)) if self.console.verbosity() > 0 => {
                let name = self.name.map(|name| format!("{name} ")).unwrap_or_default();
                self.console.trace(&format!("* {name}{line}"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Observer for Connections {
    fn observe(&self, _at: Instant, event: &Event) {
        if self.is_told(event) {
            // Where stdout is gone there is nobody left to tell.
            let _ = self.tell(event);
        }
    }
}
