//! A disk without room: this process may write no more than 64 KiB into one file. It is alone in
//! its process, because the limit holds for all that is in it.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[expect(dead_code, reason = "this test needs no scripts")]
mod support;

#[expect(dead_code, reason = "this test needs nothing outside")]
mod served;

use http::Method;
use http::header::CONTENT_TYPE;
use portolan_http::{Form, Part, Upload};
use rustix::process::{Resource, Rlimit, setrlimit};
use served::Served;
use tokio::signal::unix::{SignalKind, signal};

const LIMIT: usize = 64 * 1024;
/// What a process gets that writes beyond its limit. One that takes it goes on.
const SIGXFSZ: i32 = 25;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_leaves_no_partial_file_and_a_server_that_goes_on() {
    let _taken = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let limit = Rlimit { current: Some(LIMIT as u64), maximum: None };
    setrlimit(Resource::Fsize, limit).unwrap();
    let served = Served::new(&[], |files| files.with_upload(Upload::default())).await;
    let form = |size| {
        let part = Part::bytes(vec![b'x'; size]).with_file_name("form");
        Form::new().unwrap().with("file", part)
    };
    for size in [LIMIT + 1, 50 * LIMIT] {
        let got = served.send(Method::PUT, "/put", &[], vec![b'x'; size]).await;
        assert_eq!((got.status.as_u16(), got.text()), (507, "there is no room for this file\n"));
        let form = form(size);
        let content_type = form.content_type();
        let content_type = [(CONTENT_TYPE, content_type.to_str().unwrap())];
        let got = served.send(Method::POST, "/", &content_type, form.body()).await;
        assert_eq!(got.status, 507);
        assert_eq!(served.names(), Vec::<String>::new());
    }
    let fits = vec![b'x'; LIMIT];
    assert_eq!(served.send(Method::PUT, "/put", &[], fits.clone()).await.status, 201);
    assert_eq!(served.get("/put", &[]).await.body, fits);
}
