//! The access log: a line a request.

use std::sync::Arc;
use std::time::Instant;

use portolan::net::Observer;
use portolan::{Error, Event};

use crate::args::serve::http::AccessLog as Form;
use crate::console::Console;
use crate::show::request;

/// Tells of each request that was answered: as text on stderr, as objects where those of the
/// verb go.
pub(super) struct AccessLog {
    form: Form,
    console: Console,
}

impl AccessLog {
    /// The log in this form, which without a choice is that of the output; `None` for no log.
    pub(super) fn new(form: Option<Form>, console: &Console) -> Option<Arc<Self>> {
        let form = form.unwrap_or(if console.is_json() { Form::Json } else { Form::Text });
        (form != Form::Off).then(|| Arc::new(Self { form, console: *console }))
    }

    fn tell(&self, event: &Event) -> Result<(), Error> {
        let Event::Answered(answered) = event else { return Ok(()) };
        match self.form {
            Form::Json => self.console.log_json("request", &request::json(answered)),
            _ => {
                self.console.log(&request::text(answered, jiff::Timestamp::now()));
                if let Some(failure) = request::failure(answered) {
                    self.console.note(&failure);
                }
                Ok(())
            }
        }
    }
}

impl Observer for AccessLog {
    fn observe(&self, _at: Instant, event: &Event) {
        // Where nobody reads the log any more, the server goes on.
        let _ = self.tell(event);
    }
}
