//! Downloads to somebody who reads as they come.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

use std::collections::VecDeque;
use std::fs::File;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use portolan_core::{Error, Kind, Timeouts, Url};
use portolan_net::Context;
use portolan_transfer::{Content, Download, Downloads, Opened, Resume, Source, Target};
use tokio::io::AsyncReadExt;

/// Three pieces, and the end of the connection right behind them.
struct Broken;

impl Source for Broken {
    fn open<'a>(
        &'a self,
        _: &'a Url,
        _: Option<&'a Resume>,
        _: &'a Context,
    ) -> BoxFuture<'a, Result<Opened, Error>> {
        let pieces = ["all ", "that ", "came"].map(|piece| Ok(Bytes::from(piece)));
        let lost = Error::new(Kind::Lost, "lost the connection");
        let content = Box::new(Pieces(pieces.into_iter().chain([Err(lost)]).collect()));
        let (size, validator, modified) = (Some(100), None, None);
        let name = "chart.bin".to_owned();
        ready(Ok(Opened { offset: 0, size, validator, modified, name, content })).boxed()
    }
}

struct Pieces(VecDeque<Result<Bytes, Error>>);

impl Content for Pieces {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Error>>> {
        ready(self.0.pop_front()).boxed()
    }
}

/// Downloads to `target`, which breaks off.
async fn broken(target: Target) {
    let download = Download::new("http://a.test/chart.bin".parse().unwrap(), target);
    let error = Downloads::new(Broken).one(download, &Context::new(Timeouts::default())).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Lost);
}

#[tokio::test]
async fn who_reads_gets_all_that_came_before_a_break() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    broken(Target::Writer(Box::new(ours))).await;
    let mut read = String::new();
    theirs.read_to_string(&mut read).await.unwrap();
    assert_eq!(read, "all that came");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chart.bin");
    broken(Target::Open(File::create(&path).unwrap())).await;
    assert_eq!(std::fs::read_to_string(path).unwrap(), "all that came");
}
