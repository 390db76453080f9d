use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::*;
use crate::{Dialer, Recorder, serve};

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("portolan-listen-{name}-{}", std::process::id()))
}

async fn echo(connection: Connection, cx: Context) -> Result<(), Error> {
    let (mut reader, mut writer) = tokio::io::split(connection.stream);
    tokio::select! {
        _ = tokio::io::copy(&mut reader, &mut writer) => {}
        () = cx.stopping() => {}
    }
    Ok(())
}

async fn bind(url: &str) -> Listener {
    Listener::bind(&url.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_port_of_zero_becomes_the_port_that_was_taken() {
    let listener = bind("http://localhost:0").await;
    let url = listener.local_url().to_string();
    assert!(url.starts_with("http://") && !url.contains(":0"), "{url}");
}

#[tokio::test]
async fn a_used_port_is_told_from_a_missing_directory() {
    let first = bind("tcp:0").await;
    let used = Listener::bind(&first.local_url()).await.unwrap_err();
    assert_eq!(used.kind(), Kind::Connect);
    assert!(format!("{used:#}").ends_with("address already in use"), "{used:#}");
    let missing = Listener::bind(&"unix:/nowhere/at/all".parse().unwrap()).await.unwrap_err();
    assert_eq!(missing.kind(), Kind::Write);
}

#[tokio::test]
async fn a_socket_file_is_removed_and_a_stale_one_replaced() {
    let path = temporary("stale");
    let url: Url = format!("unix:{}", path.display()).parse().unwrap();
    // Dropping the standard listener leaves its file behind, as a killed process would.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind(&url).await.unwrap();
    let taken = Listener::bind(&url).await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Connect);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_limit_holds_the_next_connection_back() {
    let listener = bind("tcp:0").await.with_limit(1);
    let endpoint = listener.local_url().endpoint();
    let cx = Context::new(Timeouts::default());
    let _first = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    let _second = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    let held = listener.accept().await;
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none());
    drop(held);
    listener.accept().await;
}

#[tokio::test]
async fn shutdown_drains_and_reports() {
    struct Closes(std::sync::Mutex<Vec<(u64, u64)>>);
    impl Observer for Closes {
        fn observe(&self, _at: std::time::Instant, event: &Event) {
            if let Event::Closed { bytes_in, bytes_out, .. } = event {
                self.0.lock().unwrap().push((*bytes_in, *bytes_out));
            }
        }
    }
    let closes = Arc::new(Closes(Default::default()));
    let listener = bind("tcp:0").await.with_observer(closes.clone());
    let endpoint = listener.local_url().endpoint();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, echo, async {
        let _ = stopped.await;
    }));
    let cx = Context::new(Timeouts::default());
    let mut connection = Dialer::new().dial(&endpoint, &cx).await.unwrap();
    connection.stream.write_all(b"ahoy").await.unwrap();
    let mut answer = [0; 4];
    connection.stream.read_exact(&mut answer).await.unwrap();
    stop.send(()).unwrap();
    server.await.unwrap();
    assert_eq!(*closes.0.lock().unwrap(), [(4, 4)]);
    assert_eq!(connection.stream.read(&mut answer).await.unwrap(), 0);
    let refused = Dialer::new().dial(&endpoint, &cx).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Connect);
}

#[tokio::test]
async fn timings_of_a_dial_follow_its_events() {
    let listener = bind("tcp:0").await;
    let recorder = Arc::new(Recorder::default());
    let cx = Context::new(Timeouts::default()).with_observer(recorder.clone());
    let connection = Dialer::new().dial(&listener.local_url().endpoint(), &cx).await.unwrap();
    let names: Vec<_> = connection.info.timings.spans().iter().map(|s| s.phase.name()).collect();
    assert_eq!(names, ["resolve", "connect"]);
    assert_eq!(connection.info.timings, recorder.timings());
}
