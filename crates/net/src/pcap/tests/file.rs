//! The file, and what happens when it cannot be written, or not as fast as the traffic comes.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;

use futures_util::FutureExt;
use portolan_core::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::unconstrained;

use super::super::capture::QUEUE;
use super::*;

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcapng");
    std::fs::write(&path, vec![0; 10_000]).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let builder = Capture::builder().with_comment("who").with_comment("ü".repeat(40_000));
    let capture = builder.create(&path).unwrap();
    capture.finish().await.unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let file = std::fs::read(&path).unwrap();
    assert!(read::items(&file).is_empty());
    let comments = read::comments(&file);
    assert!(comments[0].contains("synthesised"), "{comments:?}");
    assert_eq!(comments[1..], ["who".to_owned(), "ü".repeat(32_767)]);
}

#[test]
fn a_file_that_cannot_be_opened_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none/a.pcapng");
    let error = Capture::builder().create(&path).unwrap_err();
    assert_eq!(error.kind(), Kind::Write);
    assert!(format!("{error:#}").contains(&path.display().to_string()), "{error:#}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_full_disk_is_told_once_and_traffic_goes_on() {
    let capture = Capture::builder().create("/dev/full").unwrap();
    let error = capture.failed().await;
    assert_eq!(error.kind(), Kind::Write);
    let words = "could not write the capture to /dev/full: it ends here: no space left on device";
    assert_eq!(format!("{error:#}"), words);
    let (mut near, mut far) = tapped(&capture, 1 << 16);
    for _ in 0..2 * QUEUE / (1 << 16) {
        near.write_all(&[0; 1 << 16]).await.unwrap();
        far.read_exact(&mut [0; 1 << 16]).await.unwrap();
    }
    capture.finish().await.unwrap();
    assert!(capture.failed().now_or_never().is_none());
}

/// A file that takes nothing until it is told to, and tells when it is closed.
struct Slow {
    file: Memory,
    go: mpsc::Receiver<()>,
    _closed: mpsc::Sender<()>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Once nobody tells any more, it is as fast as memory.
        let _ = self.go.recv();
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow() -> (Memory, Capture, mpsc::Sender<()>, mpsc::Receiver<()>) {
    let file = Memory::default();
    let ((go, told), (_closed, closed)) = (mpsc::channel(), mpsc::channel());
    let slow = Slow { file: file.clone(), go: told, _closed };
    let capture = Capture::builder().write_to(slow, "a slow disk").unwrap();
    (file, capture, go, closed)
}

#[tokio::test]
async fn the_traffic_waits_for_a_slow_disk_and_nothing_is_left_out() {
    const STEP: usize = 1 << 16;
    let (file, capture, go, _) = slow();
    let (mut near, mut far) = tapped(&capture, 8 * QUEUE);
    let mut sent = 0;
    // Unconstrained: nothing but the capture makes it wait.
    while let Some(written) = unconstrained(near.write(&[7; STEP])).now_or_never() {
        sent += written.unwrap();
    }
    // What the thread took before it began to write, and what waits behind it.
    assert!((QUEUE..=2 * QUEUE + STEP).contains(&(sent + STEP)), "{sent}");
    far.write_u8(7).await.unwrap();
    assert!(unconstrained(near.read_u8()).now_or_never().is_none());
    let waiting = tokio::spawn(async move { near.write_all(&[7; STEP]).await.map(|()| near) });
    drop(go);
    let mut near = waiting.await.unwrap().unwrap();
    sent += STEP;
    near.read_u8().await.unwrap();
    near.shutdown().await.unwrap();
    capture.finish().await.unwrap();
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!((received.len(), reassembled(&file.packets())), (sent, [received, vec![7]]));
}

#[tokio::test]
async fn dropping_the_last_clone_completes_the_file() {
    let (file, capture, go, closed) = slow();
    let (stream, _far) = tapped(&capture, 1 << 16);
    drop((capture.clone(), capture));
    // The connection is a clone too.
    assert_eq!(closed.try_recv(), Err(mpsc::TryRecvError::Empty));
    drop((stream, go));
    closed.recv().unwrap_err();
    assert_eq!(story(&file.packets()), ">S <S > >F <");
}
