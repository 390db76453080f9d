//! Forms with files: `multipart/form-data` (RFC 7578), written as browsers do (WHATWG HTML, section
//! 4.10.22.8). Parsing is a server's matter. Nothing is sent here: a form becomes a [`Body`] whose
//! length is known.

use std::path::Path;

use bytes::Bytes;
use http::HeaderValue;
use portolan_core::{Error, Kind};

use crate::body::{Body, Piece};

/// A form: fields and files in their order.
///
/// ```
/// use portolan_http::{Form, Part};
///
/// let form = Form::new()?
///     .with("name", Part::text("value"))
///     .with("upload", Part::bytes("a,b").with_file_name("x.csv"));
/// assert!(form.content_type().to_str()?.starts_with("multipart/form-data; boundary="));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Form {
    boundary: String,
    parts: Vec<(String, Part)>,
}

/// One field or file of a form.
#[derive(Clone, Debug)]
pub struct Part {
    content: Piece,
    file_name: Option<String>,
    content_type: Option<HeaderValue>,
}

impl Part {
    /// A field with this text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Piece::Bytes(text.into().into()))
    }

    /// Bytes that are there. Without [`with_file_name`](Self::with_file_name), servers take them
    /// for a field.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Piece::Bytes(bytes.into()))
    }

    /// A file, under its own name and as `application/octet-stream`. Only its length is asked for
    /// now.
    ///
    /// # Errors
    /// [`Kind::Read`] where it is not there, or is not a file with a length.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let content = Piece::file(path).map_err(|error| {
            let message = format!("could not read the upload {}", path.display());
            Error::new(Kind::Read, message).with_source(error)
        })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self::new(content).with_file_name(name))
    }

    const fn new(content: Piece) -> Self {
        Self { content, file_name: None, content_type: None }
    }

    /// The name of the file, as the server gets it.
    #[must_use]
    pub fn with_file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// The type of the content.
    ///
    /// # Defaults
    /// None for a field, `application/octet-stream` for a file.
    #[must_use]
    pub fn with_content_type(mut self, content_type: HeaderValue) -> Self {
        self.content_type = Some(content_type);
        self
    }
}

impl Form {
    /// A form without parts, with a boundary that nobody can guess.
    ///
    /// # Errors
    /// [`Kind::Read`] where the system has no random numbers.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { boundary: unguessable()?, parts: Vec::new() })
    }

    /// The same form with one part more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, part: Part) -> Self {
        self.parts.push((name.into(), part));
        self
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> HeaderValue {
        let text = format!("multipart/form-data; boundary={}", self.boundary);
        // Letters, digits and hyphens alone: every field takes them.
        HeaderValue::try_from(text)
            .unwrap_or_else(|_| HeaderValue::from_static("multipart/form-data"))
    }

    /// The body, with its length known; it can be sent again.
    #[must_use]
    pub fn body(&self) -> Body {
        Body::pieces(self.pieces())
    }

    /// What is sent, in its order.
    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(self.parts.len() * 2 + 1);
        let mut before = String::new();
        for (name, part) in &self.parts {
            let head = self.head(name, part);
            pieces.push(Piece::Bytes(format!("{before}{head}").into()));
            pieces.push(part.content.clone());
            "\r\n".clone_into(&mut before);
        }
        pieces.push(Piece::Bytes(format!("{before}--{}--\r\n", self.boundary).into()));
        pieces
    }

    /// The delimiter and the fields of a part.
    fn head(&self, name: &str, part: &Part) -> String {
        let mut head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{}\"",
            self.boundary,
            escape(name)
        );
        if let Some(file_name) = &part.file_name {
            head.push_str(&format!("; filename=\"{}\"", escape(file_name)));
        }
        let given =
            part.content_type.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let default = part.file_name.as_ref().map(|_| "application/octet-stream".into());
        if let Some(content_type) = given.or(default) {
            head.push_str(&format!("\r\nContent-Type: {content_type}"));
        }
        head.push_str("\r\n\r\n");
        head
    }
}

/// A name that nobody can guess: `portolan-` and 32 hexadecimal digits.
pub(crate) fn unguessable() -> Result<String, Error> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| {
        Error::new(Kind::Read, "could not make a name: the system has no random numbers")
    })?;
    Ok(format!("portolan-{:032x}", u128::from_ne_bytes(random)))
}

/// A name in quotes: browsers percent-encode what would end it or its line, and nothing else.
fn escape(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn written(form: &Form) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in form.pieces() {
            match piece {
                Piece::Bytes(part) => bytes.extend_from_slice(&part),
                Piece::File { path, .. } => bytes.extend(fs::read(path).unwrap()),
            }
        }
        assert_eq!(Some(bytes.len() as u64), form.body().length());
        bytes
    }

    #[test]
    fn a_form_is_written_as_browsers_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("naïve \"x\".csv");
        fs::write(&path, "a,b\r\n").unwrap();
        let mut form = Form::new()
            .unwrap()
            .with("na\"me\r\n", Part::text("välue"))
            .with("file", Part::file(&path).unwrap())
            .with(
                "image",
                Part::bytes(&b"\x89PNG"[..])
                    .with_file_name("x.png")
                    .with_content_type(HeaderValue::from_static("image/png")),
            );
        form.boundary = "AaB03x".to_owned();
        let expected = [
            "--AaB03x\r\nContent-Disposition: form-data; name=\"na%22me%0D%0A\"\r\n\r\nvälue\r\n\
             --AaB03x\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"naïve %22x%22.csv\"\r\nContent-Type: application/octet-stream\r\n\r\n\
             a,b\r\n\r\n\
             --AaB03x\r\nContent-Disposition: form-data; name=\"image\"; filename=\"x.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
                .as_bytes(),
            b"\x89PNG\r\n--AaB03x--\r\n",
        ];
        assert_eq!(written(&form), expected.concat());
        assert_eq!(form.content_type(), "multipart/form-data; boundary=AaB03x");
    }

    #[test]
    fn an_empty_form_has_an_end_and_no_two_the_same_boundary() {
        let (a, b) = (Form::new().unwrap(), Form::new().unwrap());
        assert_eq!(written(&a), format!("--{}--\r\n", a.boundary).as_bytes());
        assert_ne!(a.boundary, b.boundary);
    }

    #[test]
    fn what_is_not_a_file_is_refused() {
        for path in ["/dev/null", "/", "/no/such/file"] {
            let error = Part::file(path).unwrap_err();
            assert_eq!(error.kind(), Kind::Read);
            assert!(error.to_string().contains(path));
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_of_its_line(name in "(\\PC|\r|\n|\"|\0){0,30}") {
            let form = Form::new().unwrap().with(&name, Part::text("x").with_file_name(&name));
            let text = String::from_utf8(written(&form)).unwrap();
            prop_assert_eq!(text.matches("\r\n").count(), 6);
            prop_assert_eq!(text.matches('"').count(), 4);
        }
    }
}
