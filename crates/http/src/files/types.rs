//! Media types by the names of files (RFC 9110 section 8.3), and which of them shrink.

use std::ffi::OsStr;
use std::path::Path;

use http::HeaderValue;

use super::field;

/// What is not known (RFC 2046 section 4.5.1).
const UNKNOWN: &str = "application/octet-stream";
/// Types beside text that compression makes smaller; those that end with `+json`, `+xml` and
/// `+text` too.
const COMPRESSIBLE: [&str; 12] = [
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/sql",
    "application/toml",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xml",
    "application/x-sh",
    "font/otf",
    "font/ttf",
    "image/bmp",
];

/// The `Content-Type` of a file of this name. Text is UTF-8.
pub(super) fn content_type(name: &OsStr) -> HeaderValue {
    let essence = essence(name);
    if !is_text(essence) {
        return HeaderValue::from_static(essence);
    }
    field(format!("{essence}; charset=utf-8"))
}

/// Whether it pays to compress a file of this name.
pub(super) fn is_compressible(name: &OsStr) -> bool {
    let essence = essence(name);
    is_text(essence)
        || COMPRESSIBLE.contains(&essence)
        || ["+json", "+xml", "+text"].iter().any(|suffix| essence.ends_with(suffix))
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/") || essence == "application/javascript"
}

/// The type without parameters.
fn essence(name: &OsStr) -> &'static str {
    mime_guess::from_path(Path::new(name)).first_raw().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_from_the_name() {
        for (name, content_type, is_compressible) in [
            ("index.html", "text/html; charset=utf-8", true),
            ("STYLE.CSS", "text/css; charset=utf-8", true),
            ("a.js", "text/javascript; charset=utf-8", true),
            ("a.mjs", "application/javascript; charset=utf-8", true),
            ("a.json", "application/json", true),
            ("a.svg", "image/svg+xml", true),
            ("a.txt", "text/plain; charset=utf-8", true),
            ("a.md", "text/markdown; charset=utf-8", true),
            ("a.xml", "text/xml; charset=utf-8", true),
            ("a.wasm", "application/wasm", true),
            ("a.webmanifest", "application/manifest+json", true),
            ("a.png", "image/png", false),
            ("a.avif", "image/avif", false),
            ("a.woff2", "font/woff2", false),
            ("a.mp4", "video/mp4", false),
            ("a.pdf", "application/pdf", false),
            ("a.tar.gz", "application/gzip", false),
            ("README", "application/octet-stream", false),
            (".gitignore", "application/octet-stream", false),
            ("a.unheard-of", "application/octet-stream", false),
        ] {
            assert_eq!(super::content_type(OsStr::new(name)), content_type, "{name}");
            assert_eq!(super::is_compressible(OsStr::new(name)), is_compressible, "{name}");
        }
    }
}
