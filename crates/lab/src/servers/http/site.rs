//! `/site/`: a small linked site, with what a crawler has to get right: ways up and down the tree,
//! the same page by several names, a base, a redirect, a missing page, a page that robots may not
//! see, one that only the sitemap has, one in another charset, and days without end.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::request::{Path, Seen};

pub(super) const INDEX: &str = "\
/site/                                  a small linked site, with a sitemap, for crawlers
";

/// A page: where it is below `/site/`, its title, and where it leads.
struct Page {
    path: &'static str,
    title: &'static str,
    links: &'static [&'static str],
}

const PAGES: [Page; 7] = [
    Page {
        path: "",
        title: "A portolan",
        links: &[
            "about.html",
            "ports/",
            "/site/about.html#makers",
            "old.html",
            "missing.html",
            "private/log.html",
            "latin1.html",
            "days/1",
            "/image/png",
            "http://elsewhere.invalid/",
            "mailto:lab@lab.invalid",
        ],
    },
    Page { path: "about.html", title: "About & thanks", links: &["./", "#makers"] },
    Page {
        path: "ports/",
        title: "Ports",
        links: &["../", "genoa.html", "./palma.html", "venice.html?from=ports"],
    },
    Page {
        path: "ports/genoa.html",
        title: "Genoa",
        links: &["palma.html", "../ports/../about.html"],
    },
    Page { path: "ports/palma.html", title: "Palma", links: &["genoa.html", "venice.html"] },
    Page {
        path: "ports/venice.html",
        title: "Venice",
        links: &["/site/ports/", "//elsewhere.invalid/"],
    },
    Page { path: "unlinked.html", title: "Known to the sitemap alone", links: &["./"] },
];

/// Not in the sitemap, and not for robots.
const PRIVATE: Page = Page { path: "private/log.html", title: "The log", links: &["secret.html"] };

/// Its links count from the base that it names, not from itself.
const BASED: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><base href=\"/site/ports/\">\
    <title>Caf\u{e9}</title></head>\n<body>\n<h1>Caf\u{e9}</h1>\n\
    <p><a href=\"palma.html\">palma.html</a></p>\n</body>\n</html>\n";

pub(super) fn routes() -> Router {
    let pages = PAGES.iter().chain([&PRIVATE]).fold(Router::new(), |routes, page| {
        routes.route(&format!("/site/{}", page.path), get(async || page.html()))
    });
    pages
        .route("/site", get(async || Redirect::permanent("/site/")))
        .route("/site/old.html", get(async || Redirect::permanent("/site/about.html")))
        .route("/site/latin1.html", get(latin1))
        .route("/site/days/{day}", get(day))
        .route("/site/sitemap.xml", get(sitemap))
}

impl Page {
    fn html(&self) -> Html<String> {
        let title = self.title.replace('&', "&amp;");
        let links =
            self.links.iter().map(|link| format!("<li><a href=\"{link}\">{link}</a></li>\n"));
        html(&title, &links.collect::<String>())
    }
}

fn html(title: &str, links: &str) -> Html<String> {
    Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\
         </head>\n<body>\n<h1 id=\"makers\">{title}</h1>\n<ul>\n{links}</ul>\n</body>\n</html>\n"
    ))
}

async fn latin1() -> impl IntoResponse {
    let kind = HeaderValue::from_static("text/html; charset=iso-8859-1");
    // The first 256 characters of Unicode are those of ISO 8859-1.
    let bytes: Vec<u8> = BASED.chars().filter_map(|letter| u8::try_from(letter).ok()).collect();
    ([(header::CONTENT_TYPE, kind)], bytes)
}

/// A day leads to the next, for ever.
async fn day(Path(day): Path<u64>) -> Response {
    match day.checked_add(1) {
        Some(next) => {
            let link = format!("<li><a rel=\"next\" href=\"{next}\">{next}</a></li>\n");
            html(&format!("Day {day}"), &link).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn sitemap(seen: Seen) -> impl IntoResponse {
    let base = seen.base().replace('&', "&amp;").replace('<', "&lt;");
    let url = |page: &Page| format!("<url><loc>{base}/site/{}</loc></url>\n", page.path);
    let urls: String = PAGES.iter().map(url).collect();
    let kind = HeaderValue::from_static("application/xml");
    let namespace = "http://www.sitemaps.org/schemas/sitemap/0.9";
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"{namespace}\">\n{urls}</urlset>\n"
    );
    ([(header::CONTENT_TYPE, kind)], body)
}
