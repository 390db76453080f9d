//! What a signal leaves of what was under way.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "these tests need few of its parts")]
mod support;

use std::io::Write;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;
use support::Portolan;

/// More than a pipe takes, and so little that the rest is in the hands of a connection at once.
const MUCH: usize = 100_000;

#[test]
fn what_has_come_is_written_though_connect_is_interrupted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("feed");
    let listener = UnixListener::bind(&path).unwrap();
    let url = format!("unix:{}", path.display());
    let mut live = Portolan::new().start(&["connect", &url]);
    let (mut feed, _) = listener.accept().unwrap();
    let said = "begun\n".to_owned() + &"x".repeat(MUCH);
    feed.write_all(said.as_bytes()).unwrap();
    assert_eq!(live.line(), "begun");
    // What is not read here now waits for it.
    live.signal(Signal::INT);
    let run = live.end();
    assert_eq!((run.out.len(), run.code, run.err.as_str()), (MUCH, Some(130), ""));
}
