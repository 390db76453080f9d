//! Files: what is sent of them, what is listed, what is taken, and that nothing leads out.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

use std::fs;
use std::path::Path;

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};
use portolan_core::Url;
use portolan_http::{Files, Request};
use tempfile::TempDir;

/// A directory that is served.
struct Served {
    directory: TempDir,
    url: Url,
}

/// What came back.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Served {
    /// A directory with these files.
    async fn new(files: &[(&str, &str)], set: impl FnOnce(Files) -> Files) -> Self {
        let directory = TempDir::new().unwrap();
        for (path, content) in files {
            write(directory.path(), path, content);
        }
        let files = set(Files::new(directory.path()).unwrap());
        let url = support::server(files.into_router()).await;
        Self { directory, url }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        self.send(Method::GET, path, headers, "").await
    }

    /// Sends the path as it is: nothing of it is resolved or encoded.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Got {
        raw(&self.url, method, path, headers, body.into()).await
    }
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
