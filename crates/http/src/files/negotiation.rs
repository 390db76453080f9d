//! What a client can take and likes best (RFC 9110 section 12.5): `Accept` and `Accept-Encoding`.

use http::header::{self, HeaderMap, HeaderName};

use super::encodings::Coding;

/// How much something is liked, in thousandths (RFC 9110 section 12.4.2).
type Quality = u16;

/// The codings that the client names and likes no less than the file as it is, the best first; those
/// it likes as much as each other are in the order of `offered`.
pub(super) fn accepted_codings(headers: &HeaderMap, offered: &[Coding]) -> Vec<Coding> {
    let asked = qualities(headers, &header::ACCEPT_ENCODING);
    let quality = |name: &str| {
        let mut asked = asked.iter().filter(|(asked, _)| asked.eq_ignore_ascii_case(name));
        asked.next().map(|(_, quality)| *quality)
    };
    let identity = quality("identity").unwrap_or_default();
    let mut accepted: Vec<_> = offered
        .iter()
        .filter_map(|coding| {
            let quality = quality(coding.name()).or_else(|| quality("*"))?;
            (quality > 0 && quality >= identity).then_some((quality, *coding))
        })
        .collect();
    // Stable: what is offered first stays first.
    accepted.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    accepted.into_iter().map(|(_, coding)| coding).collect()
}

/// Whether the client is a browser that opens a page: it names `text/html`.
pub(super) fn accepts_pages(headers: &HeaderMap) -> bool {
    media_quality(headers, "text/html") > 0
}

/// Whether the client names JSON and likes it better than a page.
pub(super) fn prefers_json(headers: &HeaderMap) -> bool {
    media_quality(headers, "application/json") > media_quality(headers, "text/html")
}

fn media_quality(headers: &HeaderMap, name: &str) -> Quality {
    let asked = qualities(headers, &header::ACCEPT);
    asked.iter().find(|(asked, _)| asked.eq_ignore_ascii_case(name)).map_or(0, |(_, q)| *q)
}

/// The names in the lists of these fields, each with its quality.
fn qualities<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<(&'a str, Quality)> {
    let fields = headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
    let members = fields.flat_map(|field| field.split(','));
    let quality = |member: &'a str| {
        let mut parameters = member.split(';').map(str::trim);
        let name = parameters.next().filter(|name| !name.is_empty())?;
        let weight = parameters.find_map(|parameter| {
            parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="))
        });
        Some((name, weight.map_or(1000, thousandths)))
    };
    members.filter_map(quality).collect()
}

/// A weight from `0` to `1.000`; none, where it cannot be read.
fn thousandths(weight: &str) -> Quality {
    let weight: f32 = weight.parse().unwrap_or_default();
    // Not a number becomes zero.
    (weight.clamp(0.0, 1.0) * 1000.0).round() as Quality
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip, Zstd};

    fn asking(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn codings_are_chosen_by_quality_then_by_our_order() {
        for (asked, codings) in [
            ("", &[][..]),
            ("gzip", &[Gzip]),
            ("GZIP;q=1.000", &[Gzip]),
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli]),
            ("br;q=0, gzip", &[Gzip]),
            ("*", &[Brotli, Zstd, Gzip]),
            ("*;q=0, gzip", &[Gzip]),
            ("identity", &[]),
            ("identity, gzip;q=0.5", &[]),
            ("identity;q=0.5, gzip", &[Gzip]),
            ("gzip;q=nan, br;q=2, zstd;q=-1", &[Brotli]),
            ("gzipped, xbr", &[]),
            (" ,gzip ; x=1 ; q=0.3,", &[Gzip]),
        ] {
            let headers = asking(header::ACCEPT_ENCODING, asked);
            assert_eq!(accepted_codings(&headers, &[Brotli, Zstd, Gzip]), codings, "{asked}");
        }
    }

    #[test]
    fn pages_are_for_browsers_and_json_for_those_who_ask() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (asked, page, json) in [
            (browser, true, false),
            ("*/*", false, false),
            ("application/json", false, true),
            ("application/json, */*;q=0.5", false, true),
            ("application/json;q=0", false, false),
            ("text/html;q=0.5, application/json", true, true),
            ("text/html, application/json", true, false),
        ] {
            let headers = asking(header::ACCEPT, asked);
            assert_eq!((accepts_pages(&headers), prefers_json(&headers)), (page, json), "{asked}");
        }
    }
}
