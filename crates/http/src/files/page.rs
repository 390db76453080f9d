//! The pages for people: a directory, and why there is nothing to see. They work without their
//! script, and load nothing else.

use std::fmt::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};
use portolan_core::is_invisible;
use portolan_core::units::show_size;

use super::Settings;
use super::encodings::compressed;
use super::listing::{Column, Entry, Listing, Order};
use super::path::reference;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The drawings that the page uses, each defined once.
const ICONS: &str = include_str!("icons.svg");

/// What the pages may do: use their own style and script, and send files back here.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; img-src data:",
        hash(STYLE),
        hash(SCRIPT)
    );
    super::field(policy)
});

/// The page of a directory.
pub(super) fn listing(listing: &Listing, asked: &HeaderMap, settings: &Settings) -> Response {
    let takes_uploads = settings.upload.is_some();
    let mut page = String::with_capacity(8192 + 400 * listing.entries.len());
    let title = format!("Index of {}", shown_path(listing));
    let (head, crumbs, summary) = (head(&title), breadcrumb(listing), summary(listing));
    let _ = write!(page, "{head}{ICONS}<header>{crumbs}<p id=summary>{summary}</p></header><main>");
    if takes_uploads {
        page.push_str(UPLOAD);
    }
    page.push_str("<div id=listing>");
    page.push_str(&table(listing));
    if listing.is_cut {
        let count = listing.entries.len();
        let _ = write!(page, "<p class=note>Only {count} entries are shown; there are more.</p>");
    }
    page.push_str("</div></main>");
    if takes_uploads {
        let _ = write!(page, "<script>{SCRIPT}</script>");
    }
    let mut response = compressed(page, asked, &settings.encoders);
    dress(response.headers_mut());
    response
}

/// The page that says why there is nothing else.
pub(super) fn refusal(status: StatusCode, why: &str) -> Response {
    let reason = status.canonical_reason().unwrap_or("Refused");
    let title = format!("{} {reason}", status.as_u16());
    let mut page = head(&title);
    let _ = write!(
        page,
        "<main class=refusal><h1>{}<small>{reason}</small></h1><p>{}</p></main>",
        status.as_u16(),
        escape(&sentence(why))
    );
    let mut response = page.into_response();
    dress(response.headers_mut());
    response
}

/// The fields that every page has.
fn dress(headers: &mut HeaderMap) {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\
         <meta name=color-scheme content=\"light dark\"><link rel=icon href=\"data:,\">\
         <title>{}</title><style>{STYLE}</style></head><body>",
        escape(title)
    )
}

/// The form for files; the script makes more of it.
const UPLOAD: &str = "<form id=upload method=post enctype=multipart/form-data>\
    <label><svg aria-hidden=true><use href=#icon-upload /></svg>\
    <span class=plain>Add files</span><span class=drop>Choose files or drop them here</span>\
    <input type=file name=file multiple required></label>\
    <button>Upload</button><ul id=transfers aria-live=polite></ul></form>";

/// The way from the root to this directory.
fn breadcrumb(listing: &Listing) -> String {
    let names: Vec<_> = listing.path.iter().collect();
    let up = |levels: usize| if levels == 0 { "./".to_owned() } else { "../".repeat(levels) };
    let mut crumbs = format!(
        "<nav aria-label=Breadcrumb><a href=\"{}\">\
         <svg aria-hidden=true><use href=#icon-home /></svg>Home</a>",
        up(names.len())
    );
    for (at, name) in names.iter().enumerate() {
        let levels = names.len() - 1 - at;
        let current = if levels == 0 { " aria-current=page" } else { "" };
        let name = escape(&name.to_string_lossy());
        let href = up(levels);
        let _ = write!(crumbs, "<i>/</i><a href=\"{href}\"{current}><bdi>{name}</bdi></a>");
    }
    crumbs.push_str("</nav>");
    crumbs
}

/// How much there is.
fn summary(listing: &Listing) -> String {
    let (directories, files): (Vec<_>, Vec<_>) =
        listing.entries.iter().partition(|entry| entry.is_directory);
    let count = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let size = files.iter().map(|file| file.facts.size).fold(0, u64::saturating_add);
    let parts = [
        count(directories.len(), "directory", "directories"),
        count(files.len(), "file", "files"),
        (!files.is_empty()).then(|| show_size(size)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn table(listing: &Listing) -> String {
    let mut table = "<table><thead><tr>".to_owned();
    for (column, label) in
        [(Column::Name, "Name"), (Column::Size, "Size"), (Column::Time, "Modified (UTC)")]
    {
        table.push_str(&column_head(listing.order, column, label));
    }
    table.push_str("</tr></thead><tbody>");
    if !listing.path.as_os_str().is_empty() {
        table.push_str(
            "<tr class=up><td><a href=\"../\"><svg aria-hidden=true><use href=#icon-up /></svg>\
             Parent directory</a><td><td>",
        );
    }
    listing.entries.iter().for_each(|entry| table.push_str(&row(entry)));
    table.push_str("</tbody></table>");
    if listing.entries.is_empty() {
        table.push_str("<p class=note>This directory is empty.</p>");
    }
    table
}

/// The head of a column: a link that sorts by it, or turns it around.
fn column_head(order: Order, column: Column, label: &str) -> String {
    let is_current = order.column == column;
    let sorted = match (is_current, order.is_descending) {
        (false, _) => "",
        (true, false) => " aria-sort=ascending",
        (true, true) => " aria-sort=descending",
    };
    let next = if is_current && !order.is_descending { "desc" } else { "asc" };
    let name = column.name();
    format!("<th{sorted}><a href=\"?sort={name}&amp;order={next}\">{label}</a>")
}

fn row(entry: &Entry) -> String {
    let (icon, slash) = if entry.is_directory { ("directory", "/") } else { ("file", "") };
    let size = match entry.is_directory {
        true => "<td class=none>–".to_owned(),
        false => format!("<td>{}", show_size(entry.facts.size)),
    };
    let modified = entry.modified();
    format!(
        "<tr><td><a href=\"{}\"><svg class={icon} aria-hidden=true><use href=#icon-{icon} /></svg>\
         <bdi>{}{slash}</bdi></a>{size}<td><time datetime={modified}>{}</time>",
        reference(&entry.name, entry.is_directory),
        escape(&entry.name.to_string_lossy()),
        // To the minute.
        modified[..16].replace('T', " ")
    )
}

fn shown_path(listing: &Listing) -> String {
    let path = listing.path.to_string_lossy();
    if path.is_empty() { "/".to_owned() } else { format!("/{path}/") }
}

/// A message as a sentence.
fn sentence(why: &str) -> String {
    let mut chars = why.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// Text as HTML shows it, between tags and in quoted attributes. What cannot be seen, or makes seen
/// what is not there, is shown as a replacement character.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if is_invisible(c) => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(escape("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert_eq!(
            escape("gpj.\u{202e}exe\0\n\u{200b}é"),
            "gpj.\u{fffd}exe\u{fffd}\u{fffd}\u{fffd}é"
        );
    }

    proptest! {
        #[test]
        fn no_name_becomes_markup(name in "(<|>|\"|'|&|\\PC|\\pC){0,30}") {
            let escaped = escape(&name);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            let is_entity = |rest: &str| entities.iter().any(|entity| rest.starts_with(entity));
            prop_assert!(escaped.split('&').skip(1).all(is_entity));
        }
    }
}
