//! Joining streams: what comes in at one end goes out at the other, until both have ended.
//!
//! Half-closes are carried over: when one end has said all that it has to say, the other learns
//! it and may still answer. A slow end holds the other back; an idle one holds no buffer. Between
//! plain sockets, the kernel moves what comes in big pieces.
//!
//! It does not look at the bytes, and keeps no more of them than one piece each way.

mod flow;
mod joined;
mod pace;

use std::io;
use std::time::Duration;

use portolan_core::units::show_duration;
use portolan_core::{Error, Kind};

use self::flow::Break;
use self::joined::{Failure, Joined};
pub use self::pace::Pace;
use crate::tls::refusal_of;
use crate::{Context, Stream};

/// How many bytes have passed between two joined streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// From the near stream to the far one.
    pub there: u64,
    /// From the far stream to the near one.
    pub back: u64,
}

/// How two streams are joined.
///
/// # Defaults
/// No limit of the rate; until both have said all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// The most bytes a second, each way.
    pub rate: Option<u64>,
    /// When it is over.
    pub until: Until,
}

/// When two streams have been joined for long enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Both have said all.
    #[default]
    Both,
    /// The near one has said all, and the far one has it; what the far one says within a second
    /// after that is still carried.
    Near,
    /// The far one has said all, and the near one has nothing more to say at the moment.
    Far,
}

/// Which end of a join broke, and why: the source of its error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The near one.
    #[error("the near end broke")]
    Near(#[source] io::Error),
    /// The far one.
    #[error("the far end broke")]
    Far(#[source] io::Error),
}

/// Carries bytes both ways between two streams until both have half-closed, or as `how` says.
///
/// When one end breaks, what was read from the other is still delivered, and a reset is passed on.
/// A server that stops lets it go on while bytes move.
///
/// # Errors
/// [`Kind::Lost`] where an end breaks, with [`Broken`] as the source, or closes without TLS's
/// goodbye; [`Kind::Tls`] where a server refuses our certificate after all; [`Kind::Timeout`] where
/// nothing passes either way for the context's idle limit. That an end no longer takes what the
/// other has to say, since it has closed, is no error.
pub fn join(
    near: Stream,
    far: Stream,
    how: Join,
    cx: &Context,
) -> impl Future<Output = Result<Carried, Error>> + Send + use<'_> {
    let mut joined = Box::new(Joined::new([near, far], how, cx));
    async move {
        joined.run(cx).await.map_err(|end| match end {
            Failure::Idle(limit) => idle(limit),
            Failure::Broken(Break { stream, cause }) => refusal_of(&cause).unwrap_or_else(|| {
                lost(if stream == 0 { Broken::Near(cause) } else { Broken::Far(cause) })
            }),
        })?;
        let [there, back] = joined.carried();
        Ok(Carried { there, back })
    }
}

/// Sends back what comes in, until the peer half-closes; how many bytes.
///
/// # Errors
/// [`Kind::Lost`] where the stream breaks, [`Kind::Timeout`] where nothing comes for the context's
/// idle limit.
pub fn echo(
    stream: Stream,
    cx: &Context,
) -> impl Future<Output = Result<u64, Error>> + Send + use<'_> {
    let mut joined = Box::new(Joined::new([stream], Join::default(), cx));
    async move {
        joined.run(cx).await.map_err(|end| match end {
            Failure::Idle(limit) => idle(limit),
            Failure::Broken(Break { cause, .. }) => lost(cause),
        })?;
        let [count] = joined.carried();
        Ok(count)
    }
}

fn lost(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::Lost, "the connection was lost").with_source(cause)
}

fn idle(limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("nothing passed for {}", show_duration(limit)))
}

#[cfg(test)]
mod tests;
