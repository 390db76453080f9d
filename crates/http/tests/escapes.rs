//! Ways out of the directory that is served: none leads anywhere, not even while it is swapped
//! under the server's hands.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need no scripts")]
mod support;

#[expect(dead_code, reason = "these tests look at no field")]
mod served;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use http::Method;
use portolan_http::{Files, Upload};
use served::Served;

/// Paths that would lead out if they led anywhere.
const OUT: [&str; 25] = [
    "/../secret",
    "/d/../../secret",
    "/%2e%2e/secret",
    "/.%2e/secret",
    "/%2E./secret",
    "/..%2fsecret",
    "/d/..%2f..%2fsecret",
    "/..%5csecret",
    "/..\\secret",
    "/%252e%252e/secret",
    "/%c0%ae%c0%ae/secret",
    "/%e0%80%ae%e0%80%ae/secret",
    "/..%c0%afsecret",
    "/..;/secret",
    "/...//secret",
    "/d/a%00/../../../secret",
    "/secret",
    "/link",
    "/up/secret",
    "/absolute/secret",
    "/d/deep",
    "//secret",
    "/C:/secret",
    "/file:///secret",
    "/.%00./secret",
];

/// Everything that is served, and may be written.
fn open(files: Files) -> Files {
    files.with_hidden(true).with_upload(Upload::default().with_overwrite(true))
}

fn follows(files: Files) -> Files {
    open(files).with_follow_symlinks(true)
}

#[tokio::test]
async fn no_path_leads_out() {
    for set in [open as fn(Files) -> Files, follows] {
        let served = Served::new(&[("d/a", "inside")], set).await;
        let root = served.root();
        symlink("../secret", root.join("link")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink(served.outside(), root.join("absolute")).unwrap();
        symlink("../../secret", root.join("d/deep")).unwrap();
        for path in OUT {
            let got = served.get(path, &[]).await;
            assert!([400, 404].contains(&got.status.as_u16()), "{path}: {}", got.status);
        }
        for path in OUT {
            let put = served.send(Method::PUT, path, &[], "written").await;
            // A name within is no way out, and a link is replaced by the file.
            let is_within = ["/secret", "/link", "/d/deep", "//secret"].contains(&path);
            let is_refused = [400, 403, 404, 409].contains(&put.status.as_u16());
            assert!(is_refused || is_within, "{path}: {put:?}");
        }
        let outside = fs::read_to_string(served.outside().join("secret")).unwrap();
        assert_eq!(outside, "outside");
        let mut beside: Vec<_> = fs::read_dir(served.outside())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        beside.sort();
        assert_eq!(beside, ["root", "secret"]);
    }
}

/// Swaps a directory for a symlink that leads out and back, as fast as it can, until it is stopped.
struct Swapping {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Swapping {
    fn new(root: &Path) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let (root, stop) = (root.to_owned(), stopped.clone());
        let thread = thread::spawn(move || {
            let (shown, kept) = (root.join("d"), root.join("kept"));
            let mut swaps = 0;
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&shown, &kept).unwrap();
                symlink("../outside", &shown).unwrap();
                fs::remove_file(&shown).unwrap();
                fs::rename(&kept, &shown).unwrap();
                swaps += 1;
            }
            swaps
        });
        Self { stopped, thread: Some(thread) }
    }

    /// How often it was swapped.
    fn stop(mut self) -> u64 {
        self.stopped.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Swapping {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_directory_that_becomes_a_symlink_meanwhile_leads_nowhere() {
    for set in [open as fn(Files) -> Files, follows] {
        let served = Served::new(&[("d/a", "inside")], set).await;
        let outside = served.outside().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("a"), "outside").unwrap();
        let swapping = Swapping::new(&served.root());
        let (mut found, mut missed, mut written) = (0, 0, 0);
        while found < 30 || missed < 30 || written < 10 {
            let got = served.get("/d/a", &[]).await;
            match (got.status.as_u16(), got.text()) {
                (200, "inside") => found += 1,
                // It was away, or was swapped again and again while it was looked up.
                (404 | 503, _) => missed += 1,
                other => panic!("{other:?}"),
            }
            let got = served.send(Method::PUT, "/d/b", &[], "written").await;
            match got.status.as_u16() {
                201 | 204 => written += 1,
                404 | 503 => {}
                other => panic!("{other}"),
            }
            let list = served.get("/d/", &[]).await;
            assert!([200, 404, 503].contains(&list.status.as_u16()), "{list:?}");
        }
        assert!(swapping.stop() > 0);
        let left: Vec<_> =
            fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["a"]);
        assert_eq!(fs::read_to_string(outside.join("a")).unwrap(), "outside");
    }
}
