//! Bodies that are read line by line, or event by event, as they come.

use encoding_rs::Decoder;
use portolan_core::{Error, Kind};

use super::Response;
use crate::charset;
use crate::events::{EventParser, ServerEvent};

/// The longest line.
const LINE_MAX: usize = 1024 * 1024;

/// The lines of a body.
///
/// # Defaults
/// Lines of up to 1 MiB, in the charset of `Content-Type` or of the byte order mark, else UTF-8.
pub struct Lines {
    response: Response,
    decoder: Decoder,
    text: String,
    /// Where the line begins that is next, and up to where no end of it was found.
    start: usize,
    searched: usize,
    is_over: bool,
}

/// The server-sent events of a body (WHATWG HTML, section 9.2), of up to 1 MiB each.
pub struct Events {
    response: Response,
    parser: EventParser,
}

impl Lines {
    pub(super) fn new(response: Response) -> Self {
        let decoder = charset::encoding(response.headers()).new_decoder();
        Self { response, decoder, text: String::new(), start: 0, searched: 0, is_over: false }
    }

    /// The next line, without its end (LF or CRLF); `None` at the end of the body.
    ///
    /// # Errors
    /// As for [`Response::chunk`]; [`Kind::Protocol`] where a line is too long.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(end) = self.text[self.searched..].find('\n') {
                let end = self.searched + end;
                let line = &self.text[self.start..end];
                let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
                (self.start, self.searched) = (end + 1, end + 1);
                return Ok(Some(line));
            }
            if self.is_over {
                let rest = self.text.split_off(self.start);
                (self.start, self.searched) = (self.text.len(), self.text.len());
                return Ok((!rest.is_empty()).then_some(rest));
            }
            self.read_on().await?;
        }
    }

    async fn read_on(&mut self) -> Result<(), Error> {
        self.text.drain(..self.start);
        (self.start, self.searched) = (0, self.text.len());
        if self.text.len() > LINE_MAX {
            let message = format!("a line of the body is longer than {LINE_MAX} bytes");
            return Err(
                Error::new(Kind::Protocol, message).with_endpoint(&self.response.url().endpoint())
            );
        }
        let piece = self.response.chunk().await?;
        self.is_over = piece.is_none();
        let bytes = piece.unwrap_or_default();
        let most = self.decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len() * 3 + 16);
        self.text.reserve(most);
        let _ = self.decoder.decode_to_string(&bytes, &mut self.text, self.is_over);
        Ok(())
    }
}

impl Events {
    pub(super) const fn new(response: Response) -> Self {
        Self { response, parser: EventParser::new() }
    }

    /// The next event; `None` at the end of the body. Coming back after the end is left to the
    /// caller.
    ///
    /// # Errors
    /// As for [`Response::chunk`]; [`Kind::Protocol`] where an event is too large.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, Error> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Ok(Some(event));
            }
            let Some(piece) = self.response.chunk().await? else { return Ok(None) };
            self.parser.push(&piece)?;
        }
    }

    /// What the stream has said of coming back: the pause and the last id.
    #[must_use]
    pub const fn parser(&self) -> &EventParser {
        &self.parser
    }
}
