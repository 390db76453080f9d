//! Why a request is refused.

use http::StatusCode;

/// Why a request cannot be read. Its connection is closed after the refusal, for nobody knows where
/// the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRequest {
    /// A line of the head ends with LF alone, or has a CR within (RFC 9112 section 2.2).
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// The request line is not a method, a target and a version, with single spaces between.
    #[error("the request line is malformed")]
    RequestLine,
    /// A target that is none of the forms of RFC 9112 section 3.2, or not the one of its method.
    #[error("the target is malformed")]
    Target,
    /// The version is one that HTTP/1 cannot carry.
    #[error("this version of HTTP is not spoken here")]
    Version,
    /// A field is malformed: a name that is no token, a space before the colon, a line that is
    /// folded, or a control character.
    #[error("a header field is malformed")]
    Field,
    /// `Host` is missing, not the only one, or no host (RFC 9112 section 3.2).
    #[error("there must be one Host that is valid")]
    Host,
    /// `Content-Length` is no number, or there are several.
    #[error("Content-Length must be one number")]
    Length,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.3).
    #[error("there are both Content-Length and Transfer-Encoding")]
    TwoLengths,
    /// `Transfer-Encoding` does not end in one `chunked`, or the version has none.
    #[error("Transfer-Encoding must be chunked, once")]
    Coding,
    /// A transfer coding that is not known here (RFC 9112 section 6.1).
    #[error("this transfer coding is not known here")]
    UnknownCoding,
    /// The chunked coding is broken (RFC 9112 section 7.1).
    #[error("the chunked coding is broken")]
    Chunk,
    /// The target is longer than the limit.
    #[error("the target is too long")]
    TargetTooLong,
    /// The head has more bytes or fields than the limits.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The body is larger than the limit.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The head did not come in time.
    #[error("the request took too long")]
    TooSlow,
}

impl BadRequest {
    /// The status that says so.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::LineEnd
            | Self::RequestLine
            | Self::Target
            | Self::Field
            | Self::Host
            | Self::Length
            | Self::TwoLengths
            | Self::Coding
            | Self::Chunk => StatusCode::BAD_REQUEST,
        }
    }
}
