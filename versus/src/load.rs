//! What goes through a relay: the same for every side, and cheap beside it.
//!
//! A target listens, and whoever is measured connects to it. Sources and sinks are threads; visits
//! are one event loop.
#![expect(clippy::disallowed_types, reason = "the load is plain sockets, whoever is measured")]
#![expect(clippy::disallowed_methods, reason = "what passes is timed by the clock on the wall")]

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::{Timespec, epoll};
use rustix::net::{RecvFlags, recv};

/// How long a load waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is written or read at once.
const PIECE: usize = 256 * 1024;

/// Where the relays that are measured connect to.
pub(crate) struct Target {
    listener: TcpListener,
}

impl Target {
    pub(crate) fn bind() -> anyhow::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))? })
    }

    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Sends `bytes` through each of several connections to `relay`: how long it takes until all
    /// have come here.
    pub(crate) fn send(
        &self,
        relay: SocketAddr,
        connections: usize,
        bytes: usize,
    ) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut threads: Vec<JoinHandle<anyhow::Result<()>>> = Vec::new();
        for _ in 0..connections {
            let source = connect(relay)?;
            threads.push(thread::spawn(move || give(&source, bytes)));
            let (sink, _) = self.listener.accept()?;
            sink.set_read_timeout(Some(PATIENCE))?;
            threads.push(thread::spawn(move || take(&sink, bytes)));
        }
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(started.elapsed())
    }

    /// Visits `relay` again and again for as long as `time`, so many at once: how many visits a
    /// second. A visitor connects, sends a byte, and is done when the connection is closed; the
    /// target closes it when it has the byte.
    pub(crate) fn visit(
        &self,
        relay: SocketAddr,
        visitors: usize,
        time: Duration,
    ) -> anyhow::Result<f64> {
        self.listener.set_nonblocking(true)?;
        let mut visits = Visits::new(self, relay)?;
        for _ in 0..visitors {
            visits.begin()?;
        }
        let started = Instant::now();
        while started.elapsed() < time {
            visits.go_on()?;
        }
        let rate = f64::from(visits.done) / started.elapsed().as_secs_f64();
        // Nobody is to find the remains of this round in the next one.
        visits.is_ending = true;
        while visits.under_way > 0 {
            visits.go_on()?;
        }
        Ok(rate)
    }
}

fn connect(relay: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(relay).context("connecting to what is measured")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Writes so many bytes, and waits for the other end to close.
fn give(mut source: &TcpStream, bytes: usize) -> anyhow::Result<()> {
    let piece = vec![0x5a; PIECE];
    let mut left = bytes;
    while left > 0 {
        left -= source.write(&piece[..left.min(PIECE)])?;
    }
    source.shutdown(Shutdown::Write)?;
    ensure!(source.read(&mut [0])? == 0, "something came back");
    Ok(())
}

/// Takes so many bytes; the kernel throws them away (tcp(7), `MSG_TRUNC`), which costs no copy.
fn take(sink: &TcpStream, bytes: usize) -> anyhow::Result<()> {
    let mut space = vec![MaybeUninit::uninit(); PIECE];
    let mut left = bytes;
    loop {
        let (_, count) = recv(sink, &mut space[..], RecvFlags::TRUNC)?;
        if count == 0 {
            ensure!(left == 0, "{left} bytes did not come");
            return Ok(());
        }
        left = left.checked_sub(count).context("too many bytes came")?;
    }
}

/// Visitors and the target, in one event loop.
struct Visits<'a> {
    target: &'a Target,
    relay: SocketAddr,
    epoll: OwnedFd,
    /// By the number by which the events know them.
    ends: Vec<Option<End>>,
    free: Vec<usize>,
    under_way: usize,
    done: u32,
    is_ending: bool,
}

struct End {
    stream: TcpStream,
    is_visitor: bool,
}

/// The number of the target's events.
const TARGET: u64 = u64::MAX;

impl<'a> Visits<'a> {
    fn new(target: &'a Target, relay: SocketAddr) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(TARGET);
        epoll::add(&epoll, &target.listener, data, epoll::EventFlags::IN)?;
        let (ends, free) = (Vec::new(), Vec::new());
        Ok(Self { target, relay, epoll, ends, free, under_way: 0, done: 0, is_ending: false })
    }

    /// One more visitor.
    fn begin(&mut self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(self.relay)?;
        stream.write_all(b"x")?;
        self.under_way += 1;
        self.add(stream, true)
    }

    fn add(&mut self, stream: TcpStream, is_visitor: bool) -> anyhow::Result<()> {
        stream.set_nonblocking(true)?;
        let number = self.free.pop().unwrap_or_else(|| {
            self.ends.push(None);
            self.ends.len() - 1
        });
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        self.ends[number] = Some(End { stream, is_visitor });
        Ok(())
    }

    /// Waits for what happens next, and deals with it.
    fn go_on(&mut self) -> anyhow::Result<()> {
        let mut events = [const { MaybeUninit::uninit() }; 64];
        let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let (events, _) = epoll::wait(&self.epoll, &mut events, Some(&patience))?;
        if events.is_empty() {
            bail!("{} visits do not end", self.under_way);
        }
        for event in events {
            match event.data.u64() {
                TARGET => self.accept()?,
                number => self.hear(number as usize)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            match self.target.listener.accept() {
                Ok((stream, _)) => self.add(stream, false)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn hear(&mut self, number: usize) -> anyhow::Result<()> {
        let mut end = self.ends[number].take().context("an event of nobody")?;
        let count = end.stream.read(&mut [0]).context("a connection broke")?;
        self.free.push(number);
        match (end.is_visitor, count) {
            (false, 1) => {}
            (true, 0) => {
                self.done += 1;
                self.under_way -= 1;
                if !self.is_ending {
                    self.begin()?;
                }
            }
            _ => bail!("a visit went wrong"),
        }
        Ok(())
    }
}
