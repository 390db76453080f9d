//! The load: a crowd of clients in one thread over epoll, the same for every side.
#![expect(clippy::disallowed_types, reason = "the load owes nothing to the side that is ours")]
#![expect(clippy::disallowed_methods, reason = "rates are counted by the clock on the wall")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// How long the crowd waits for an answer before it gives up.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Clients that are connected to one server. Dropping disconnects them.
pub(crate) struct Crowd {
    epoll: OwnedFd,
    clients: Vec<Client>,
}

struct Client {
    stream: TcpStream,
    /// How much of the answer has yet to come.
    missing: usize,
}

impl Crowd {
    /// Connects so many clients, one after the other.
    pub(crate) fn connect(address: SocketAddr, clients: usize) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll")?;
        let mut crowd = Self { epoll, clients: Vec::with_capacity(clients) };
        for number in 0..clients {
            let stream = TcpStream::connect(address).context("connecting")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&crowd.epoll, &stream, data, epoll::EventFlags::IN).context("watching")?;
            crowd.clients.push(Client { stream, missing: 0 });
        }
        Ok(crowd)
    }

    /// As [`ask`](Self::ask), of a server that sends back what it hears.
    pub(crate) fn echo(&mut self, message: &[u8], duration: Duration) -> anyhow::Result<f64> {
        self.ask(message, message.len(), duration)
    }

    /// Each client sends `message` and waits until `answer` bytes have come back, again and again
    /// until `duration` has passed, but at least once: how many answers came in a second.
    pub(crate) fn ask(
        &mut self,
        message: &[u8],
        answer: usize,
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
                if !client.hear()? {
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

impl Client {
    fn say(&mut self, message: &[u8], answer: usize) -> anyhow::Result<()> {
        self.missing = answer;
        // A message is small, and nothing else is under way on this connection.
        self.stream.write_all(message).context("sending")
    }

    /// Whether all of the answer is there.
    fn hear(&mut self) -> anyhow::Result<bool> {
        match self.stream.read(&mut [0; 4096]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) if count > self.missing => bail!("the server said more than it should"),
            Ok(count) => {
                self.missing -= count;
                Ok(self.missing == 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("receiving"),
        }
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
}
