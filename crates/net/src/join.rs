//! Joining streams: what comes in at one end goes out at the other, until both have ended.
//!
//! Half-closes are carried over: when one end has said all that it has to say, the other learns
//! it and may still answer. A slow end holds the other back; an idle one holds no buffer.

use std::io;

use portolan_core::{Error, Kind};
use tokio::io::AsyncWriteExt;

use crate::{Context, Stream};

/// How many bytes have passed between two joined streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// From the near stream to the far one.
    pub there: u64,
    /// From the far stream to the near one.
    pub back: u64,
}

/// Carries bytes both ways between two streams until both have half-closed.
///
/// # Errors
/// [`Kind::Lost`] where an end breaks.
pub async fn join(
    mut near: Stream,
    mut far: Stream,
    _rate: Option<u64>,
    cx: &Context,
) -> Result<Carried, Error> {
    let copying = tokio::io::copy_bidirectional(&mut near, &mut far);
    tokio::select! {
        copied = copying => {
            copied.map(|(there, back)| Carried { there, back }).map_err(lost)
        }
        () = cx.stopping() => Ok(Carried::default()),
    }
}

/// Sends back what comes in, until the peer half-closes; how many bytes.
///
/// # Errors
/// [`Kind::Lost`] where the stream breaks.
pub async fn echo(stream: Stream, cx: &Context) -> Result<u64, Error> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let echoing = async {
        let count = tokio::io::copy(&mut reader, &mut writer).await?;
        writer.shutdown().await.map(|()| count)
    };
    tokio::select! {
        echoed = echoing => echoed.map_err(lost),
        () = cx.stopping() => Ok(0),
    }
}

fn lost(cause: io::Error) -> Error {
    Error::new(Kind::Lost, "the connection was lost").with_source(cause)
}
