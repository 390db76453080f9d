//! The load: a crowd of clients in one thread over epoll, the same for every side.
#![expect(clippy::disallowed_types, reason = "the load owes nothing to the side that is ours")]
#![expect(clippy::disallowed_methods, reason = "rates are counted by the clock on the wall")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// How long the crowd waits for an answer before it gives up.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// The most that is read at once.
const BUFFER: usize = 128 * 1024;

/// Clients that are connected to one server. Dropping disconnects them.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    clients: Vec<Client>,
    /// Where answers are read to: what they say is not looked at.
    buffer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    waits: Waits,
}

/// What is waited for after a message.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// So many bytes.
    Bytes(usize),
    /// A frame of WebSocket, however long it says that it is.
    Frame,
}

/// How much of an answer has yet to come.
#[derive(Clone, Copy)]
enum Waits {
    For(usize),
    /// The head of a frame, of which so many bytes are here.
    Head([u8; HEAD_MAX], usize),
}

/// The longest head of a frame that a server sends (RFC 6455 section 5.2).
const HEAD_MAX: usize = 10;

impl Crowd {
    /// Connects so many clients, one after the other.
    pub(crate) fn connect(address: SocketAddr, clients: usize) -> anyhow::Result<Self> {
        Self::connect_by(address, clients, |_| Ok(()))
    }

    /// The same, where each begins by shaking hands.
    pub(crate) fn connect_by(
        address: SocketAddr,
        clients: usize,
        greet: impl Fn(&mut TcpStream) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll")?;
        let mut crowd =
            Self { epoll, clients: Vec::with_capacity(clients), buffer: vec![0; BUFFER] };
        for number in 0..clients {
            let mut stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true)?;
            greet(&mut stream)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&crowd.epoll, &stream, data, epoll::EventFlags::IN).context("watching")?;
            crowd.clients.push(Client { stream, waits: Waits::For(0) });
        }
        Ok(crowd)
    }

    /// As [`ask`](Self::ask), of a server that sends back what it hears.
    pub(crate) fn echo(&mut self, message: &[u8], duration: Duration) -> anyhow::Result<f64> {
        self.ask(message, Answer::Bytes(message.len()), duration)
    }

    /// Each client sends `message` and waits until `answer` has come back, again and again until
    /// `duration` has passed, but at least once: how many answers came in a second.
    pub(crate) fn ask(
        &mut self,
        message: &[u8],
        answer: Answer,
        duration: Duration,
    ) -> anyhow::Result<f64> {
        let started = Instant::now();
        for client in &mut self.clients {
            client.say(message, answer)?;
        }
        let mut answers = 0_u64;
        let mut waiting = self.clients.len();
        let mut goes_on = !duration.is_zero();
        let mut events = Vec::with_capacity(256);
        while waiting > 0 {
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&PATIENCE))?;
            if events.is_empty() {
                bail!("no answer for {} s", PATIENCE.tv_sec);
            }
            // The clock is read for each batch, not for each answer.
            goes_on = goes_on && started.elapsed() < duration;
            for event in events.drain(..) {
                let client = &mut self.clients[usize::try_from(event.data.u64())?];
                if !client.hear(&mut self.buffer)? {
                    continue;
                }
                answers += 1;
                if goes_on {
                    client.say(message, answer)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(answers as f64 / started.elapsed().as_secs_f64())
    }
}

impl Crowd {
    /// The first client says `message`, and all others hear `answer`: after how long each of them.
    pub(crate) fn broadcast(
        &mut self,
        message: &[u8],
        answer: Answer,
    ) -> anyhow::Result<Vec<Duration>> {
        let Some((speaker, others)) = self.clients.split_first_mut() else { return Ok(Vec::new()) };
        for client in others {
            client.expect(answer);
        }
        let started = Instant::now();
        speaker.say(message, Answer::Bytes(0))?;
        let mut heard = Vec::with_capacity(self.clients.len());
        let mut events = Vec::with_capacity(256);
        while heard.len() + 1 < self.clients.len() {
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&PATIENCE))?;
            if events.is_empty() {
                bail!("{} of {} clients heard it", heard.len(), self.clients.len() - 1);
            }
            for event in events.drain(..) {
                let client = &mut self.clients[usize::try_from(event.data.u64())?];
                if client.hear(&mut self.buffer)? {
                    heard.push(started.elapsed());
                }
            }
        }
        Ok(heard)
    }
}

impl Client {
    fn say(&mut self, mut message: &[u8], answer: Answer) -> anyhow::Result<()> {
        self.expect(answer);
        while !message.is_empty() {
            match self.stream.write(message) {
                Ok(count) => message = &message[count..],
                // The server reads it, as nothing else is under way on this connection.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut socket = [PollFd::new(&self.stream, PollFlags::OUT)];
                    poll(&mut socket, Some(&PATIENCE)).context("waiting to send")?;
                }
                Err(error) => return Err(error).context("sending"),
            }
        }
        Ok(())
    }

    fn expect(&mut self, answer: Answer) {
        self.waits = match answer {
            Answer::Bytes(count) => Waits::For(count),
            Answer::Frame => Waits::Head([0; HEAD_MAX], 0),
        };
    }

    /// Whether all of the answer is there.
    fn hear(&mut self, buffer: &mut [u8]) -> anyhow::Result<bool> {
        let count = match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receiving"),
        };
        let (missing, count) = match self.waits {
            Waits::For(missing) => (missing, count),
            Waits::Head(mut head, known) => {
                let taken = count.min(HEAD_MAX - known);
                head[known..known + taken].copy_from_slice(&buffer[..taken]);
                match frame_length(&head[..known + taken]) {
                    Some(length) => (length, known + count),
                    None => {
                        self.waits = Waits::Head(head, known + taken);
                        return Ok(false);
                    }
                }
            }
        };
        let Some(missing) = missing.checked_sub(count) else {
            bail!("the server said more than it should");
        };
        self.waits = Waits::For(missing);
        Ok(missing == 0)
    }
}

/// How long a frame is that begins like this, head and payload, where that is known already.
fn frame_length(head: &[u8]) -> Option<usize> {
    match head {
        [_, 126, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([*high, *low]))),
        [_, 127, length @ ..] => {
            let length = u64::from_be_bytes(*length.first_chunk()?);
            Some(HEAD_MAX + usize::try_from(length).ok()?)
        }
        [_, 126, ..] => None,
        [_, length, ..] => Some(2 + usize::from(*length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::{io, thread};

    use super::*;

    /// A server that sends back what comes in, or something else.
    fn server(
        answer: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            thread::scope(|scope| {
                for stream in listener.incoming() {
                    scope.spawn(|| answer(&mut stream?));
                }
            });
        });
        address
    }

    #[test]
    fn every_client_is_answered_and_answers_are_counted() {
        let address = server(|stream| io::copy(&mut stream.try_clone()?, stream).map(drop));
        let mut crowd = Crowd::connect(address, 5).unwrap();
        crowd.echo(b"ahoy", Duration::ZERO).unwrap();
        assert!(crowd.echo(b"ahoy", Duration::from_millis(20)).unwrap() > 100.0);
    }

    #[test]
    fn a_server_that_does_not_echo_is_found_out() {
        let address = server(|stream| stream.write_all(b"ahoy, and more"));
        let mut crowd = Crowd::connect(address, 1).unwrap();
        let error = crowd.echo(b"ahoy", Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "the server said more than it should");
        let address = server(|_| Ok(()));
        let mut crowd = Crowd::connect(address, 1).unwrap();
        assert!(crowd.echo(b"ahoy", Duration::ZERO).is_err());
    }

    #[test]
    fn frames_are_counted_by_what_their_heads_say() {
        assert_eq!(frame_length(&[0x81]), None);
        assert_eq!(frame_length(&[0x81, 5]), Some(7));
        assert_eq!(frame_length(&[0x81, 126, 1]), None);
        assert_eq!(frame_length(&[0x81, 126, 1, 0, 9]), Some(260));
        assert_eq!(frame_length(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Some(65_546));
        assert_eq!(frame_length(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0]), None);
        // A head that comes byte by byte.
        let address = server(|stream| {
            stream.read_exact(&mut [0])?;
            stream.set_nodelay(true)?;
            for byte in [&[0x81, 126, 0, 200][..], &[7; 200]].concat() {
                stream.write_all(&[byte])?;
            }
            stream.read(&mut [0]).map(drop)
        });
        let mut crowd = Crowd::connect(address, 1).unwrap();
        crowd.ask(b"?", Answer::Frame, Duration::ZERO).unwrap();
    }

    #[test]
    fn what_one_says_is_heard_by_all_others() {
        let (sender, streams) = std::sync::mpsc::channel();
        let address =
            server(move |stream| sender.send(stream.try_clone()?).map_err(io::Error::other));
        thread::spawn(move || {
            let clients: Vec<_> = streams.iter().take(3).collect();
            let mut said = [0; 4];
            // Which of them speaks, only the crowd knows: the one from which something comes.
            let speaker = loop {
                let speaks = |client: &TcpStream| {
                    client.set_nonblocking(true).unwrap();
                    client.peek(&mut [0]).is_ok()
                };
                if let Some(number) = clients.iter().position(speaks) {
                    break number;
                }
            };
            (&clients[speaker]).read_exact(&mut said).unwrap();
            for (_, mut client) in clients.iter().enumerate().filter(|(each, _)| *each != speaker) {
                client.write_all(&said).unwrap();
            }
            thread::park();
        });
        let mut crowd = Crowd::connect(address, 3).unwrap();
        assert_eq!(crowd.broadcast(b"ahoy", Answer::Bytes(4)).unwrap().len(), 2);
    }
}
