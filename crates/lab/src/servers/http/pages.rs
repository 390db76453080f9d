//! Fixed pages, images and links.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::redirect::to;
use super::request::{Bad, Path, Seen};
use super::status;

pub(super) const INDEX: &str = "\
/html  /json  /xml  /encoding/utf8      a page of each kind
/image                                  an image by Accept
/image/png  /image/jpeg  /image/webp  /image/svg
/links/{count}[/{offset}]               up to 200 pages that link to each other
/forms/post                             a form for /post
/robots.txt  /deny                      what robots may not see
";

const MOBY_DICK: &str = include_str!("../../../assets/moby-dick.html");
const SLIDES_JSON: &str = include_str!("../../../assets/slides.json");
const SLIDES_XML: &str = include_str!("../../../assets/slides.xml");
const SCRIPTS: &str = include_str!("../../../assets/scripts.html");
const FORM: &str = include_str!("../../../assets/form.html");

const PNG: Image = Image("image/png", include_bytes!("../../../assets/ship.png"));
const JPEG: Image = Image("image/jpeg", include_bytes!("../../../assets/ship.jpeg"));
const WEBP: Image = Image("image/webp", include_bytes!("../../../assets/ship.webp"));
const SVG: Image = Image("image/svg+xml", include_bytes!("../../../assets/ship.svg"));

/// The most pages that link to each other.
const LINKS_MAX: u32 = 200;

const DENIED: &str = r#"
          .-''''''-.
        .' _      _ '.
       /   O      O   \
      :                :
      |                |
      :       __       :
       \  .-"`  `"-.  /
        '.          .'
          '-......-'
     YOU SHOULDN'T BE HERE
"#;

pub(super) fn routes() -> Router {
    Router::new()
        .route("/html", get(async || Html(MOBY_DICK)))
        .route("/json", get(async || typed("application/json", SLIDES_JSON)))
        .route("/xml", get(async || typed("application/xml", SLIDES_XML)))
        .route("/encoding/utf8", get(async || Html(SCRIPTS)))
        .route("/forms/post", get(async || Html(FORM)))
        .route("/robots.txt", get(robots))
        .route("/deny", get(async || DENIED))
        .route("/image", get(image))
        .route("/image/png", get(async || PNG))
        .route("/image/jpeg", get(async || JPEG))
        .route("/image/webp", get(async || WEBP))
        .route("/image/svg", get(async || SVG))
        .route("/links/{count}", get(links))
        .route("/links/{count}/{offset}", get(links_page))
}

fn typed(kind: &'static str, body: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body)
}

async fn robots(seen: Seen) -> String {
    let sitemap = format!("{}/site/sitemap.xml", seen.base());
    format!("User-agent: *\nDisallow: /deny\nDisallow: /site/private/\n\nSitemap: {sitemap}\n")
}

/// A media type and the bytes.
struct Image(&'static str, &'static [u8]);

impl IntoResponse for Image {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(self.0))], self.1).into_response()
    }
}

/// The image of the kind that httpbin would choose: PNG for whom any will do.
async fn image(seen: Seen) -> Response {
    let Some(accepted) = seen.header(header::ACCEPT) else { return PNG.into_response() };
    let accepted = accepted.to_ascii_lowercase();
    let named = [WEBP, SVG, JPEG, PNG].into_iter().find(|image| accepted.contains(image.0));
    let any = || ["image/*", "*/*"].iter().any(|any| accepted.contains(any)).then_some(PNG);
    match named.or_else(any) {
        Some(image) => image.into_response(),
        None => status::response(StatusCode::NOT_ACCEPTABLE),
    }
}

async fn links(Path(count): Path<u32>) -> Result<Response, Bad> {
    to(StatusCode::FOUND, &format!("/links/{count}/0"))
}

async fn links_page(Path((count, offset)): Path<(u32, u32)>) -> Html<String> {
    let count = count.clamp(1, LINKS_MAX);
    let link = |at| match at == offset {
        true => format!("{at} "),
        false => format!("<a href='/links/{count}/{at}'>{at}</a> "),
    };
    let links: String = (0..count).map(link).collect();
    Html(format!("<html><head><title>Links</title></head><body>{links}</body></html>"))
}
