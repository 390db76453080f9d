//! A directory that is served over loopback, and what comes of it.

use std::fs;
use std::path::Path;

use http::header::{HeaderMap, HeaderName};
use http::{Method, Request, StatusCode};
use portolan_core::Url;
use portolan_http::{Body, Client, Files, Protocol};
use portolan_net::Dialer;
use tempfile::TempDir;

use crate::support::{context, server};

/// A directory that is served.
pub(crate) struct Served {
    directory: TempDir,
    pub(crate) url: Url,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Served {
    /// A directory with these files in it.
    pub(crate) async fn new(files: &[(&str, &str)], set: impl FnOnce(Files) -> Files) -> Self {
        let directory = TempDir::new().unwrap();
        // What is beside it must not be reached.
        fs::write(directory.path().join("secret"), "outside").unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let served = set(Files::new(&root).unwrap());
        let url = server(served.into_router()).await;
        let served = Self { directory, url };
        files.iter().for_each(|(path, content)| served.write(path, content));
        served
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    pub(crate) fn outside(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }

    /// The names in the root, those of hidden files too.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) async fn get(&self, path: &str, fields: &[(HeaderName, &str)]) -> Got {
        self.send(Method::GET, path, fields, Body::default()).await
    }

    /// Sends the path as it is: nothing of it is resolved or encoded.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(HeaderName, &str)],
        body: impl Into<Body>,
    ) -> Got {
        self.send_as(Protocol::Http1, method, path, fields, body).await
    }

    pub(crate) async fn send_as(
        &self,
        protocol: Protocol,
        method: Method,
        path: &str,
        fields: &[(HeaderName, &str)],
        body: impl Into<Body>,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        let cx = context();
        let client = Client::connect_as(protocol, &Dialer::new(), &self.url, &cx).await;
        let answer = client.unwrap().send(request.body(body.into()).unwrap(), &cx).await;
        let mut answer = answer.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.receive(u64::MAX, &cx).await.unwrap().bytes.to_vec();
        Got { status, headers, body }
    }
}

impl Got {
    /// The value of a field; nothing where there is none.
    pub(crate) fn field(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
