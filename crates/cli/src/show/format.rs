//! Bodies for people: JSON and XML laid out, and they and HTML in colour.
//!
//! What is laid out keeps its text: numbers as they were sent, keys in their order, and one that
//! comes twice stands there twice. What is not well-formed stays as it is.

pub mod json;
pub mod markup;

/// The spaces of one level.
const INDENT: usize = 4;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// RFC 8259.
    Json,
    /// One JSON value a line.
    JsonLines,
    /// XML 1.0.
    Xml,
    /// HTML.
    Html,
    /// Server-sent events.
    Events,
}

impl Syntax {
    /// The syntax of a media type such as `application/problem+json; charset=utf-8`.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/json-lines" => Some(Self::JsonLines),
            "application/xml" | "text/xml" => Some(Self::Xml),
            "text/html" => Some(Self::Html),
            "text/event-stream" => Some(Self::Events),
            other if other.ends_with("+json") => Some(Self::Json),
            other if other.ends_with("+xml") => Some(Self::Xml),
            _ => None,
        }
    }

    /// Whether the body has no end of its own, and is shown as it comes.
    #[must_use]
    pub const fn is_endless(self) -> bool {
        matches!(self, Self::JsonLines | Self::Events)
    }

    /// The text with its layout and colours. It is taken to be harmless for a terminal.
    #[must_use]
    pub fn format(self, text: &str) -> String {
        let formatted = match self {
            Self::Json => json::pretty(text),
            Self::JsonLines => Some(json::lines(text)),
            Self::Xml => Some(markup::xml(text)),
            Self::Html => Some(markup::html(text)),
            Self::Events => None,
        };
        formatted.unwrap_or_else(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_have_a_syntax() {
        assert_eq!(Syntax::of("Application/JSON; charset=utf-8"), Some(Syntax::Json));
        assert_eq!(Syntax::of("application/problem+json"), Some(Syntax::Json));
        assert_eq!(Syntax::of("image/svg+xml"), Some(Syntax::Xml));
        assert_eq!(Syntax::of("text/html;charset=x"), Some(Syntax::Html));
        assert_eq!(Syntax::of("text/event-stream"), Some(Syntax::Events));
        assert_eq!(Syntax::of("text/plain"), None);
        assert_eq!(Syntax::of(""), None);
    }
}
