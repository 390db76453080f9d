//! Bodies that go from the socket into a file within the kernel.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use portolan_core::{Error, Kind};
use portolan_net::{Stream, now};

use super::{Payload, Response, Wire};
use crate::error::{cut_short, late_body, reset_body};

/// From this length on it pays to give up the connection for it.
const LARGE: u64 = 1 << 20;

/// The rest of a body, without HTTP around it.
struct Rest {
    stream: Stream,
    /// What was read already.
    ahead: Bytes,
    /// How much is to come after that.
    length: u64,
}

impl Response {
    /// Moves the whole body into `file`, at its position, without a copy of it in this process:
    /// where it is long, is to be kept as it comes, and comes by HTTP/1.1 over a TCP or Unix socket
    /// without TLS. Otherwise this is false and the body can still be read. `told` learns now and
    /// then how many bytes more have come.
    ///
    /// # Errors
    /// As for [`chunk`](Self::chunk); [`Kind::Write`].
    pub async fn splice_to(
        &mut self,
        file: &File,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<bool, Error> {
        let Payload::Plain(wire) = &mut self.body else { return Ok(false) };
        let Some(rest) = wire.take_apart().await else { return Ok(false) };
        let (received, expected) = (wire.received.clone(), wire.expected);
        let told = |more| {
            received.fetch_add(more, Ordering::Relaxed);
            told(more);
        };
        let idle = self.cx.timeouts().idle;
        let started = now();
        self.begin();
        let moved = self.cx.until_deadline(rest.save_to(file, idle, &told)).await;
        let received = received.load(Ordering::Relaxed);
        let result = match moved {
            Some(Ok(())) if expected.is_none_or(|expected| received == expected) => Ok(()),
            Some(Ok(())) => Err(cut_short(received, expected)),
            Some(Err(error)) if error.kind() == Kind::Lost => Err(reset_body(received, expected)),
            Some(Err(error)) if error.kind() != Kind::Timeout => Err(error),
            None | Some(Err(_)) => Err(late_body(started, received, expected)),
        };
        self.end(result).map(|()| true)
    }
}

impl Wire {
    /// Takes the rest of the body away from HTTP, where that can be done and pays.
    async fn take_apart(&mut self) -> Option<Rest> {
        let left = self.expected?.checked_sub(self.received.load(Ordering::Relaxed))?;
        let lease = self.lease.as_mut().filter(|lease| lease.client.is_plain())?;
        if self.is_over || left < LARGE {
            return None;
        }
        let (stream, unread) = lease.client.take_apart().await?;
        let mut ahead = BytesMut::new();
        while let Some(Ok(frame)) = self.body.frame().await {
            ahead.extend(frame.into_data());
        }
        ahead.extend_from_slice(&unread);
        ahead.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.is_over = true;
        self.lease = None;
        let length = left - ahead.len() as u64;
        Some(Rest { stream, ahead: ahead.freeze(), length })
    }
}

impl Rest {
    async fn save_to(
        mut self,
        file: &File,
        idle: Option<Duration>,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Error> {
        let unwritten =
            |cause| Error::new(Kind::Write, "could not write the body").with_source(cause);
        let mut again = file.try_clone().map_err(unwritten)?;
        let (count, ahead) = (self.ahead.len() as u64, self.ahead);
        let written = tokio::task::spawn_blocking(move || again.write_all(&ahead)).await;
        written
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            .map_err(unwritten)?;
        told(count);
        self.stream.receive_file(file, self.length, idle, told).await.map(drop)
    }
}
