//! A server of one file, with ranges and with faults on demand.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, StatusCode, header};
use portolan_core::Url;
use portolan_http::Server;
use portolan_net::Listener;
use sha2::{Digest, Sha256};
use tokio::sync::Barrier;

/// How large the file is.
pub(crate) const SIZE: u64 = 3_000_000;

/// The file in one of its versions.
pub(crate) fn content(version: u8) -> Vec<u8> {
    (0..SIZE).map(|at| (at.wrapping_mul(at) >> 7) as u8 ^ version).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The names in a directory, sorted.
pub(crate) fn names_in(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) struct Site {
    url: Url,
    state: Arc<Mutex<Script>>,
}

/// What a response does after some bytes.
#[derive(Clone, Copy)]
enum Fault {
    Cut(usize),
    Stall(usize),
}

struct Script {
    version: u8,
    faults: VecDeque<Fault>,
    ranges: Vec<Option<String>>,
    knows_ranges: bool,
    knows_if_range: bool,
    disposition: Option<&'static str>,
    has_validator: bool,
    changes_after_cut: bool,
    barrier: Option<Arc<Barrier>>,
    running: usize,
    most: usize,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(Script {
            version: 1,
            faults: VecDeque::new(),
            ranges: Vec::new(),
            knows_ranges: true,
            knows_if_range: true,
            disposition: None,
            has_validator: true,
            changes_after_cut: false,
            barrier: None,
            running: 0,
            most: 0,
        }));
        let routes = Router::new()
            .route("/chart.bin", get(serve))
            .route("/elsewhere/chart.bin", get(serve))
            .with_state(state.clone());
        let listener = Listener::bind(&"http://127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = listener.local_url().with_path("/chart.bin").unwrap();
        tokio::spawn(Server::new(routes).serve(listener, std::future::pending()));
        Self { url, state }
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.state.lock().unwrap()
    }

    /// The next response breaks off after so many bytes.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.script().faults.push_back(Fault::Cut(bytes));
    }

    /// The next response says no more after so many bytes.
    pub(crate) fn stall_after(&self, bytes: usize) {
        self.script().faults.push_back(Fault::Stall(bytes));
    }

    pub(crate) fn change_to(&self, version: u8) {
        self.script().version = version;
    }

    pub(crate) fn change_after_cut(&self) {
        self.script().changes_after_cut = true;
    }

    pub(crate) fn forget_ranges(&self) {
        self.script().knows_ranges = false;
    }

    pub(crate) fn forget_if_range(&self) {
        self.script().knows_if_range = false;
    }

    /// Names the file so by `Content-Disposition`.
    pub(crate) fn name(&self, disposition: &'static str) {
        self.script().disposition = Some(disposition);
    }

    pub(crate) fn forget_validator(&self) {
        self.script().has_validator = false;
    }

    /// No response begins before so many requests are there.
    pub(crate) fn meet(&self, requests: usize) {
        self.script().barrier = Some(Arc::new(Barrier::new(requests)));
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.script().most
    }

    /// The ranges that were asked for.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.script().ranges.clone()
    }
}

async fn serve(State(state): State<Arc<Mutex<Script>>>, headers: HeaderMap) -> Response {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap());
    let (barrier, fault, version, first, fields) = {
        let mut script = state.lock().unwrap();
        script.running += 1;
        script.most = script.most.max(script.running);
        let asked = text(header::RANGE).map(str::to_owned);
        script.ranges.push(asked.clone());
        let is_same =
            !script.knows_if_range || text(header::IF_RANGE) == Some(&tag(script.version));
        let first = asked.filter(|_| script.knows_ranges && is_same);
        let first = first.map(|range| range[6..range.len() - 1].parse::<usize>().unwrap());
        let fault = script.faults.pop_front();
        let version = script.version;
        if script.changes_after_cut && matches!(fault, Some(Fault::Cut(_))) {
            script.version += 1;
        }
        let tag = script.has_validator.then(|| (header::ETAG, tag(version)));
        let named = |text: &str| (header::CONTENT_DISPOSITION, text.to_owned());
        let fields: Vec<_> = tag.into_iter().chain(script.disposition.map(named)).collect();
        (script.barrier.clone(), fault, version, first, fields)
    };
    if let Some(barrier) = barrier {
        barrier.wait().await;
    }
    state.lock().unwrap().running -= 1;
    respond(&content(version), first, fields, fault)
}

fn tag(version: u8) -> String {
    format!("\"v{version}\"")
}

fn respond(
    whole: &[u8],
    first: Option<usize>,
    fields: Vec<(HeaderName, String)>,
    fault: Option<Fault>,
) -> Response {
    let mut response = Response::builder();
    for (name, value) in fields {
        response = response.header(name, value);
    }
    if first.is_some_and(|first| first >= whole.len()) {
        let range = format!("bytes */{}", whole.len());
        let response = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
        return response.header(header::CONTENT_RANGE, range).body(Body::empty()).unwrap();
    }
    let part = &whole[first.unwrap_or_default()..];
    if let Some(first) = first {
        let range = format!("bytes {first}-{}/{}", whole.len() - 1, whole.len());
        response =
            response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
    }
    let response = response.header(header::CONTENT_LENGTH, part.len());
    let sent = |bytes: &[u8]| stream::iter([io::Result::Ok(Bytes::copy_from_slice(bytes))]);
    let body = match fault {
        None => Body::from(part.to_vec()),
        Some(Fault::Stall(length)) => {
            Body::from_stream(sent(&part[..length]).chain(stream::pending()))
        }
        Some(Fault::Cut(length)) => {
            // The bytes are to arrive before the end does.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("cut"))
            });
            Body::from_stream(sent(&part[..length]).chain(cut))
        }
    };
    response.body(body).unwrap()
}
