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
    /// The far one has said all, whatever the near one has yet to say.
    Far,
}

/// Carries bytes both ways between two streams until both have half-closed, or as `how` says.
///
/// # Errors
/// [`Kind::Lost`] where an end breaks.
pub async fn join(near: Stream, far: Stream, how: Join, cx: &Context) -> Result<Carried, Error> {
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let there = async {
        let count = tokio::io::copy(&mut near_read, &mut far_write).await?;
        far_write.shutdown().await.map(|()| count)
    };
    let back = async {
        let count = tokio::io::copy(&mut far_read, &mut near_write).await?;
        near_write.shutdown().await.map(|()| count)
    };
    let (mut there, mut back) = (std::pin::pin!(there), std::pin::pin!(back));
    tokio::select! {
        there = &mut there => {
            let there = there.map_err(lost)?;
            if how.until == Until::Near {
                return Ok(Carried { there, back: 0 });
            }
            Ok(Carried { there, back: back.await.map_err(lost)? })
        }
        back = &mut back => {
            let back = back.map_err(lost)?;
            match how.until {
                Until::Far => Ok(Carried { there: 0, back }),
                Until::Both | Until::Near => Ok(Carried { there: there.await.map_err(lost)?, back }),
            }
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
