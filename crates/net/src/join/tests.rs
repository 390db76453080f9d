//! Real sockets on loopback, Unix pairs, TLS, and streams in memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use portolan_core::{Host, Timeouts};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fault::Plan;
use crate::pipe::Pipe;
use crate::tls::{self, Identity, Tls, danger};
use crate::{Meter, now};

/// What a stream that is joined can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Tcp,
    Unix,
    Tls,
    Memory,
}

const SORTS: [Sort; 4] = [Sort::Tcp, Sort::Unix, Sort::Tls, Sort::Memory];

impl Sort {
    /// Both ends of a connection.
    async fn open(self) -> (Stream, Stream) {
        match self {
            Self::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                (listener.accept().await.unwrap().0.into(), client.into())
            }
            Self::Unix => {
                let (ours, theirs) = UnixStream::pair().unwrap();
                (ours.into(), theirs.into())
            }
            Self::Tls => Box::pin(tls_over_tcp()).await,
            Self::Memory => {
                let (ours, theirs) = tokio::io::duplex(10_000);
                (Stream::boxed(ours), Stream::boxed(theirs))
            }
        }
    }
}

async fn tls_over_tcp() -> (Stream, Stream) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["a.example".to_owned()];
    let leaf = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let pem = (leaf.pem(), key.serialize_pem());
    let identity = Identity::from_pem(pem.0.as_bytes(), pem.1.as_bytes()).unwrap();
    let (server, client) = (tls::Server::new(identity), danger::without_verification(Tls::new()));
    let ((accepted, connected), cx) = (Box::pin(Sort::Tcp.open()).await, quiet());
    let name = Host::parse("a.example").unwrap();
    let (accepted, connected) =
        tokio::join!(server.accept(accepted, &cx), client.connect(connected, &name, &cx));
    (accepted.unwrap().0, connected.unwrap().0)
}

/// A context that limits nothing.
fn quiet() -> Context {
    Context::new(Timeouts::default())
}

fn idle_after(limit: Duration) -> Context {
    Context::new(Timeouts { idle: Some(limit), ..Timeouts::default() })
}

/// A join that runs, and the peers of its two ends.
struct Running {
    near: Stream,
    far: Stream,
    join: JoinHandle<Result<Carried, Error>>,
}

async fn start(near: Sort, far: Sort, how: Join, cx: Context) -> Running {
    let (near_end, near) = near.open().await;
    let (far_end, far) = far.open().await;
    let join = tokio::spawn(async move { join(near_end, far_end, how, &cx).await });
    Running { near, far, join }
}

/// Bytes of which no piece is like another.
fn noise(count: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(count as u64);
    std::iter::repeat_with(|| dice.u8(..)).take(count).collect()
}

/// Sends all of it in pieces of these sizes, in turn, and half-closes.
async fn send(stream: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8], pieces: &[usize]) {
    let (mut rest, mut sizes) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
        stream.write_all(piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
        rest = more;
    }
    stream.shutdown().await.unwrap();
}

async fn receive(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Sends both ways at once; what is said must come, all of it, and be counted.
async fn exchange(sorts: (Sort, Sort), there: &[u8], back: &[u8], pieces: &[usize]) {
    let running = start(sorts.0, sorts.1, Join::default(), quiet()).await;
    let (mut near_in, mut near_out) = tokio::io::split(running.near);
    let (mut far_in, mut far_out) = tokio::io::split(running.far);
    let ((), (), at_far, at_near) = tokio::join!(
        send(&mut near_out, there, pieces),
        send(&mut far_out, back, pieces),
        receive(&mut far_in),
        receive(&mut near_in),
    );
    assert!(at_far == there && at_near == back, "{sorts:?}: bytes were lost or changed");
    let carried = running.join.await.unwrap().unwrap();
    assert_eq!(carried, Carried { there: there.len() as u64, back: back.len() as u64 });
}

#[tokio::test]
async fn every_sort_is_joined_to_every_other() {
    let (there, back) = (noise(3_000_000), noise(100_000));
    for near in SORTS {
        for far in SORTS {
            exchange((near, far), &there, &back, &[300_000, 1, 20_000]).await;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bytes_arrive_however_they_are_cut(
        there in 0..400_000_usize,
        back in 0..400_000_usize,
        pieces in prop::collection::vec(1..100_000_usize, 1..8),
        near in prop::sample::select(&SORTS[..]),
        far in prop::sample::select(&SORTS[..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Many tiny pieces only take long.
        let least = there.max(back) / 200;
        let pieces: Vec<_> = pieces.into_iter().map(|size| size.max(least)).collect();
        runtime.block_on(exchange((near, far), &noise(there), &noise(back), &pieces));
    }
}

#[tokio::test]
async fn a_half_closed_end_still_gets_its_answer() {
    for sort in SORTS {
        let Running { mut near, mut far, join } =
            start(sort, Sort::Tcp, Join::default(), quiet()).await;
        send(&mut near, b"a question", &[4]).await;
        assert_eq!(receive(&mut far).await, b"a question");
        send(&mut far, b"the answer", &[10]).await;
        assert_eq!(receive(&mut near).await, b"the answer");
        assert_eq!(join.await.unwrap().unwrap(), Carried { there: 10, back: 10 });
    }
}

#[tokio::test]
async fn who_still_talks_when_the_other_has_closed_gets_all_that_was_said() {
    for until in [Until::Far, Until::Both] {
        let how = Join { until, ..Join::default() };
        let Running { mut near, mut far, mut join } =
            start(Sort::Tcp, Sort::Unix, how, quiet()).await;
        // Nobody reads it.
        fill(&mut near).await;
        let answer = noise(300_000);
        far.write_all(&answer).await.unwrap();
        drop(far);
        // It goes on while the most of it is still under way.
        let patience = Duration::from_millis(300);
        let ended = tokio::time::timeout_at((now() + patience).into(), &mut join).await;
        assert!(ended.is_err(), "{ended:?}");
        assert!(receive(&mut near).await == answer);
        drop(near);
        assert_eq!(join.await.unwrap().unwrap().back, 300_000);
    }
}

#[tokio::test]
async fn spliced_bytes_are_metered() {
    let ((near_end, mut near), (far_end, mut far)) =
        (Sort::Tcp.open().await, Sort::Unix.open().await);
    let (here, yonder) = (Arc::new(Meter::default()), Arc::new(Meter::default()));
    let (near_end, far_end) = (near_end.metered(here.clone()), far_end.metered(yonder.clone()));
    let joined =
        tokio::spawn(async move { join(near_end, far_end, Join::default(), &quiet()).await });
    let bytes = noise(2_000_000);
    let (got, ()) = tokio::join!(receive(&mut far), send(&mut near, &bytes, &[500_000]));
    assert!(got == bytes);
    send(&mut far, b"thanks", &[6]).await;
    joined.await.unwrap().unwrap();
    assert_eq!((here.read(), here.written()), (2_000_000, 6));
    assert_eq!((yonder.read(), yonder.written()), (6, 2_000_000));
    // They did go through a pipe, which now waits for the next who needs one.
    assert_eq!(Pipe::spare(), 1);
}

/// Sends until nothing more goes in: how many bytes that is.
async fn fill(stream: &mut Stream) -> usize {
    let (piece, mut total) = (vec![7; 64 * 1024], 0);
    let patience = Duration::from_millis(300);
    while let Ok(written) =
        tokio::time::timeout_at((now() + patience).into(), stream.write(&piece)).await
    {
        total += written.unwrap();
    }
    total
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_writer_back() {
    for sort in SORTS {
        let Running { mut near, mut far, join } =
            start(Sort::Memory, sort, Join::default(), quiet()).await;
        let sent = fill(&mut near).await;
        // The socket's own buffers take the most of it.
        assert!(sent < 16 * 1024 * 1024, "{sort:?} took {sent} bytes");
        near.shutdown().await.unwrap();
        assert_eq!(receive(&mut far).await.len(), sent);
        far.shutdown().await.unwrap();
        assert_eq!(join.await.unwrap().unwrap().there, sent as u64);
    }
}

#[tokio::test]
async fn the_rate_is_kept_each_way() {
    for sort in [Sort::Tcp, Sort::Memory] {
        let how = Join { rate: Some(400_000), ..Join::default() };
        let Running { mut near, mut far, .. } = start(sort, sort, how, quiet()).await;
        let started = now();
        let bytes = noise(100_000);
        let (got, ()) = tokio::join!(receive(&mut far), send(&mut near, &bytes, &[100_000]));
        let elapsed = started.elapsed();
        assert!(got == bytes);
        let expected = Duration::from_millis(200)..Duration::from_secs(10);
        assert!(expected.contains(&elapsed), "{sort:?}: {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_ends_and_busy_does_not() {
    let cx = idle_after(Duration::from_secs(10));
    let Running { mut near, mut far, join } =
        start(Sort::Memory, Sort::Memory, Join::default(), cx).await;
    let started = now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(8)).await;
        near.write_all(b"x").await.unwrap();
        far.read_exact(&mut [0]).await.unwrap();
    }
    let error = join.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (Kind::Timeout, "nothing passed for 10 s".into())
    );
    assert_eq!(now().duration_since(started).as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_idle_joins_and_lets_busy_ones_go_on() {
    let token = CancellationToken::new();
    let cx = quiet().with_stopping(token.clone());
    let idle = start(Sort::Memory, Sort::Memory, Join::default(), cx.clone()).await;
    let mut busy = start(Sort::Memory, Sort::Memory, Join::default(), cx.clone()).await;
    let started = now();
    token.cancel();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        busy.near.write_all(b"x").await.unwrap();
        busy.far.read_exact(&mut [0]).await.unwrap();
    }
    assert!(idle.join.is_finished());
    assert_eq!(idle.join.await.unwrap().unwrap(), Carried::default());
    assert_eq!(busy.join.await.unwrap().unwrap().there, 20);
    assert_eq!(now().duration_since(started).as_millis(), 20 * 150 + 200);
    assert_eq!(receive(&mut busy.far).await, b"");
}

#[tokio::test]
async fn what_was_accepted_is_delivered_when_the_server_stops() {
    let token = CancellationToken::new();
    let cx = quiet().with_stopping(token.clone());
    let Running { mut near, mut far, join } =
        start(Sort::Tcp, Sort::Tcp, Join::default(), cx).await;
    let sent = fill(&mut near).await;
    token.cancel();
    assert_eq!(receive(&mut far).await.len(), sent);
    assert_eq!(join.await.unwrap().unwrap().there, sent as u64);
}

#[tokio::test(start_paused = true)]
async fn what_a_fault_holds_back_is_delivered_when_the_server_stops() {
    let token = CancellationToken::new();
    let cx = quiet().with_stopping(token.clone());
    let (near, mut client) = Sort::Memory.open().await;
    let (far, mut target) = Sort::Memory.open().await;
    let faults = Plan::new(vec!["latency=3s".parse().unwrap()], 0).connection(1);
    let join = tokio::spawn(async move {
        join(faults.wrap(near), far, Join::default(), &cx).await.map(|_| now())
    });
    let started = now();
    target.write_all(b"ahoy").await.unwrap();
    token.cancel();
    assert_eq!(receive(&mut client).await, b"ahoy");
    let elapsed = join.await.unwrap().unwrap() - started;
    assert!((3000..3300).contains(&elapsed.as_millis()), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_holds_nothing_back() {
    let token = CancellationToken::new();
    let cx = quiet().with_stopping(token.clone());
    let (near, mut client) = Sort::Memory.open().await;
    let (far, mut target) = Sort::Memory.open().await;
    let faults = Plan::new(vec!["cut=4,stall".parse().unwrap()], 0).connection(1);
    let join =
        tokio::spawn(async move { join(faults.wrap(near), far, Join::default(), &cx).await });
    target.write_all(b"ahoy").await.unwrap();
    client.read_exact(&mut [0; 4]).await.unwrap();
    let started = now();
    token.cancel();
    join.await.unwrap().unwrap();
    assert_eq!((now() - started).as_millis(), 200);
}

/// A sink that keeps what is written until it is flushed, and is slow at that.
struct Slow {
    kept: Vec<u8>,
    out: tokio::sync::mpsc::UnboundedSender<Vec<u8>>,
    pause: Pin<Box<tokio::time::Sleep>>,
}

impl AsyncRead for Slow {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut task::Context<'_>,
        _buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut task::Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.pause.as_mut().poll(cx));
        let kept = std::mem::take(&mut self.kept);
        let _ = self.out.send(kept);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_a_reset_gets_through_a_slow_sink() {
    let (out, mut written) = tokio::sync::mpsc::unbounded_channel();
    let pause = Box::pin(tokio::time::sleep(Duration::from_secs(1)));
    let near = Stream::boxed(Slow { kept: Vec::new(), out, pause });
    let (far, mut peer) = Sort::Tcp.open().await;
    let join = tokio::spawn(async move { join(near, far, Join::default(), &quiet()).await });
    peer.write_all(b"ahoy").await.unwrap();
    tokio::task::yield_now().await;
    peer.abort();
    assert_eq!(join.await.unwrap().unwrap_err().kind(), Kind::Lost);
    assert_eq!(written.recv().await.unwrap(), b"ahoy");
}

#[tokio::test]
async fn a_reset_is_passed_on_and_said() {
    for (sort, far_breaks) in [(Sort::Tcp, false), (Sort::Tcp, true), (Sort::Tls, false)] {
        let Running { mut near, mut far, join } = start(sort, sort, Join::default(), quiet()).await;
        near.write_all(b"ahoy").await.unwrap();
        near.flush().await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
        let mut left = if far_breaks {
            far.abort();
            near
        } else {
            near.abort();
            far
        };
        let error = join.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Lost);
        assert_eq!(matches!(error.find(), Some(Broken::Far(_))), far_breaks, "{error:#}");
        assert!(format!("{error:#}").ends_with("connection reset by peer"), "{error:#}");
        let cut = left.read(&mut [0]).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn what_was_said_before_a_reset_is_delivered() {
    let Running { mut near, mut far, join } =
        start(Sort::Tcp, Sort::Memory, Join::default(), quiet()).await;
    // More than the far end takes at once, so that the join holds some when the reset comes.
    near.write_all(&noise(30_000)).await.unwrap();
    tokio::task::yield_now().await;
    near.abort();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert!(got == noise(30_000), "{} bytes came", got.len());
    assert_eq!(join.await.unwrap().unwrap_err().kind(), Kind::Lost);
}

#[tokio::test]
async fn a_peer_that_closes_early_breaks_nothing() {
    for sort in [Sort::Tcp, Sort::Unix] {
        let Running { mut near, mut far, join } =
            start(sort, Sort::Memory, Join::default(), quiet()).await;
        far.write_all(b"a").await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        drop(near);
        // As `yes | head` would: it goes on until it learns that nobody listens.
        while far.write_all(&[b'y'; 4096]).await.is_ok() {}
        assert!(join.await.unwrap().is_ok(), "{sort:?}");
    }
}

#[tokio::test]
async fn the_end_of_one_may_end_both() {
    let how = |until| Join { until, ..Join::default() };
    let Running { near, mut far, join } =
        start(Sort::Tcp, Sort::Tcp, how(Until::Far), quiet()).await;
    far.write_all(b"bye").await.unwrap();
    far.shutdown().await.unwrap();
    assert_eq!(join.await.unwrap().unwrap(), Carried { there: 0, back: 3 });
    drop(near);

    let Running { mut near, mut far, join } =
        start(Sort::Tcp, Sort::Tcp, how(Until::Near), quiet()).await;
    send(&mut near, b"bye", &[3]).await;
    assert_eq!(receive(&mut far).await, b"bye");
    far.write_all(b"bye!").await.unwrap();
    assert_eq!(receive(&mut near).await, b"bye!");
    assert_eq!(join.await.unwrap().unwrap(), Carried { there: 3, back: 4 });
}

#[tokio::test]
async fn an_echo_sends_back_what_comes_and_ends_with_its_peer() {
    for sort in SORTS {
        let (ours, theirs) = sort.open().await;
        let echoing = tokio::spawn(async move { echo(ours, &quiet()).await });
        let bytes = noise(1_000_000);
        let (mut input, mut output) = tokio::io::split(theirs);
        let (got, ()) =
            tokio::join!(receive(&mut input), send(&mut output, &bytes, &[100, 70_000]));
        assert!(got == bytes, "{sort:?}");
        assert_eq!(echoing.await.unwrap().unwrap(), 1_000_000);
    }
}

#[tokio::test]
async fn an_idle_join_is_small() {
    let (near, _near) = Sort::Unix.open().await;
    let (far, _far) = Sort::Unix.open().await;
    let cx = quiet();
    let future = size_of_val(&join(near, far, Join::default(), &cx));
    assert!(future <= 256, "the future has {future} bytes");
    assert!(size_of::<Joined<2>>() <= 512, "{} bytes", size_of::<Joined<2>>());
    assert!(size_of::<Joined<1>>() <= 256, "{} bytes", size_of::<Joined<1>>());
}
