//! Downloads from servers that break off, change their mind and lie.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

mod support;

use std::fs::{self, File};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use portolan_core::{Backoff, Kind, Timeouts};
use portolan_http::Session;
use portolan_net::{Context, Retry};
use portolan_transfer::{Checksum, Download, Downloads, HttpSource, Progress, Target};
use support::{SIZE, Site, content, names_in};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

fn downloads() -> Downloads {
    Downloads::new(HttpSource::new(Session::new()))
}

/// Goes on at once.
fn retrying(count: u32) -> Downloads {
    let backoff = Backoff { first: Duration::ZERO, ..Backoff::default() };
    downloads().with_retry(Retry { count, backoff })
}

fn context() -> Context {
    Context::new(Timeouts { operation: Some(Duration::from_secs(30)), ..Timeouts::default() })
}

/// Downloads into the directory, and gives up once `bytes` have come.
async fn interrupted(site: &Site, directory: &tempfile::TempDir, bytes: u64) {
    let enough = Arc::new(Notify::new());
    let (notify, seen) = (enough.clone(), Mutex::new(0));
    let downloads = downloads().with_watcher(Arc::new(move |_, progress| {
        if let Progress::Received(more) = progress {
            let mut seen = seen.lock().unwrap();
            *seen += more;
            if *seen >= bytes {
                notify.notify_one();
            }
        }
    }));
    let (cx, download) = (context(), Download::new(site.url(), into(directory)));
    tokio::select! {
        ended = downloads.one(download, &cx) => panic!("it ended: {ended:?}"),
        () = enough.notified() => {}
    }
    // What is still written holds the lock.
    let partial = directory.path().join(".chart.bin.portolan-part");
    tokio::task::spawn_blocking(|| File::open(partial).unwrap().lock().unwrap()).await.unwrap();
}

fn into(directory: &tempfile::TempDir) -> Target {
    Target::Directory(directory.path().to_owned())
}

#[tokio::test]
async fn a_file_is_there_whole_under_its_name() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let report =
        downloads().one(Download::new(site.url(), into(&directory)), &context()).await.unwrap();
    assert_eq!(report.path.unwrap(), directory.path().join("chart.bin"));
    assert_eq!((report.size, report.fetched, report.retries), (SIZE, SIZE, 0));
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(1));
    assert_eq!(names_in(&directory), ["chart.bin"]);
}

#[tokio::test]
async fn what_was_interrupted_goes_on_where_it_was() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.stall_after(300_000);
    interrupted(&site, &directory, 300_000).await;
    let names = [".chart.bin.portolan-part", ".chart.bin.portolan-part.meta"];
    assert_eq!(names_in(&directory), names);
    let checksum: Checksum = support::sha256(&content(1)).parse().unwrap();
    let download = Download::new(site.url(), into(&directory)).with_checksum(checksum);
    let report = downloads().with_continue(true).one(download, &context()).await.unwrap();
    assert_eq!((report.size, report.fetched), (SIZE, SIZE - 300_000));
    assert_eq!(site.ranges().last().unwrap().as_deref(), Some("bytes=300000-"));
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(1));
    assert_eq!(names_in(&directory), ["chart.bin"]);
}

#[tokio::test]
async fn what_was_interrupted_begins_anew_unless_asked_to_go_on() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.stall_after(300_000);
    interrupted(&site, &directory, 300_000).await;
    let report =
        downloads().one(Download::new(site.url(), into(&directory)), &context()).await.unwrap();
    assert_eq!(report.fetched, SIZE);
    assert_eq!(names_in(&directory), ["chart.bin"]);
}

#[tokio::test]
async fn what_has_changed_in_between_begins_anew() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.stall_after(300_000);
    interrupted(&site, &directory, 300_000).await;
    site.change_to(2);
    let download = Download::new(site.url(), into(&directory));
    let report = downloads().with_continue(true).one(download, &context()).await.unwrap();
    assert_eq!(report.fetched, SIZE);
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(2));
}

#[tokio::test]
async fn a_part_of_another_version_is_not_put_to_the_first() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.forget_if_range();
    site.cut_after(300_000);
    site.change_after_cut();
    let download = Download::new(site.url(), into(&directory));
    retrying(1).one(download, &context()).await.unwrap();
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(2));
    assert_eq!(site.ranges(), [None, Some("bytes=300000-".to_owned()), None]);
}

#[tokio::test]
async fn the_server_names_the_file_and_never_its_directory() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.name("attachment; filename=\"../../x y.bin\"");
    site.cut_after(1000);
    let download = || Download::new(site.url(), into(&directory));
    downloads().one(download(), &context()).await.unwrap_err();
    let report = downloads().with_continue(true).one(download(), &context()).await.unwrap();
    assert_eq!(report.fetched, SIZE - 1000);
    assert_eq!(names_in(&directory), ["x y.bin"]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_sends_all_again() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.forget_ranges();
    site.cut_after(300_000);
    let download = Download::new(site.url(), into(&directory));
    let report = retrying(1).one(download, &context()).await.unwrap();
    assert_eq!(report.fetched, SIZE + 300_000);
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(1));
}

#[tokio::test]
async fn a_break_is_gone_on_from_and_nothing_is_fetched_twice() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.cut_after(100_000);
    site.cut_after(50_000);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let downloads = retrying(2).with_watcher(Arc::new(move |number, progress| {
        if !matches!(progress, Progress::Received(_)) {
            tell.lock().unwrap().push((number, progress.clone()));
        }
    }));
    let report =
        downloads.one(Download::new(site.url(), into(&directory)), &context()).await.unwrap();
    assert_eq!((report.fetched, report.retries), (SIZE, 2));
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(1));
    let told = told.lock().unwrap();
    let offsets = told.iter().filter_map(|(_, progress)| match progress {
        Progress::Opened { offset, size, .. } => Some((*offset, size.unwrap())),
        _ => None,
    });
    let offsets: Vec<_> = offsets.collect();
    assert_eq!(offsets, [(0, SIZE), (100_000, SIZE), (150_000, SIZE)]);
    assert_eq!(told.len(), 5);
}

#[tokio::test]
async fn a_break_too_many_is_an_error_and_leaves_what_can_be_gone_on_with() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.cut_after(100_000);
    let download = Download::new(site.url(), into(&directory));
    let error = downloads().one(download, &context()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Partial | Kind::Lost), "{error:#}");
    let names = [".chart.bin.portolan-part", ".chart.bin.portolan-part.meta"];
    assert_eq!(names_in(&directory), names);
}

#[tokio::test]
async fn nothing_is_put_together_without_a_validator() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.forget_validator();
    site.cut_after(100_000);
    let download = Download::new(site.url(), into(&directory));
    let report = retrying(1).one(download, &context()).await.unwrap();
    assert_eq!(report.fetched, SIZE + 100_000);
    assert_eq!(site.ranges(), [None, None]);
    site.cut_after(100_000);
    let download = Download::new(site.url(), into(&directory));
    downloads().one(download, &context()).await.unwrap_err();
    assert_eq!(names_in(&directory), ["chart.bin"]);
}

#[tokio::test]
async fn a_wrong_checksum_leaves_nothing() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let checksum: Checksum = support::sha256(&content(2)).parse().unwrap();
    let download = Download::new(site.url(), into(&directory)).with_checksum(checksum);
    let error = downloads().one(download, &context()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unmet);
    assert!(names_in(&directory).is_empty());
}

#[tokio::test]
async fn two_with_one_name_do_not_clobber_each_other() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    fs::write(directory.path().join("chart.bin"), "mine").unwrap();
    let urls = [site.url(), site.url().with_path("/elsewhere/chart.bin").unwrap()];
    let list = urls.map(|url| Download::new(url, into(&directory)));
    let reports = downloads().run(list, |_| context()).await;
    assert!(reports.iter().all(Result::is_ok));
    assert_eq!(names_in(&directory), ["chart.bin", "chart.bin.1", "chart.bin.2"]);
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), b"mine");
    for name in ["chart.bin.1", "chart.bin.2"] {
        assert_eq!(fs::read(directory.path().join(name)).unwrap(), content(1));
    }
}

#[tokio::test]
async fn two_to_one_given_file_are_a_mistake() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let path = directory.path().join("x");
    site.stall_after(1000);
    let list = [0, 1].map(|_| Download::new(site.url(), Target::File(path.clone())));
    let short =
        || Context::new(Timeouts { idle: Some(Duration::from_millis(200)), ..Timeouts::default() });
    let reports = downloads().run(list, |_| short()).await;
    let kinds: Vec<_> = reports.iter().filter_map(|r| r.as_ref().err()).map(|e| e.kind()).collect();
    assert!(kinds.contains(&Kind::Usage), "{kinds:?}");
}

#[tokio::test]
async fn a_given_file_is_replaced_once_all_is_there() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let (path, link) = (directory.path().join("x"), directory.path().join("link"));
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    site.cut_after(1000);
    let download = || Download::new(site.url(), Target::File(link.clone()));
    downloads().one(download(), &context()).await.unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let report = downloads().with_continue(true).one(download(), &context()).await.unwrap();
    assert_eq!(report.fetched, SIZE - 1000);
    assert_eq!(fs::read(&path).unwrap(), content(1));
    assert_eq!(names_in(&directory), ["link", "x"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[tokio::test]
async fn what_is_there_already_is_left_alone_where_asked_to_go_on() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let again = || async {
        let download = Download::new(site.url(), into(&directory));
        downloads().with_continue(true).one(download, &context()).await.unwrap()
    };
    assert_eq!(again().await.fetched, SIZE);
    let second = again().await;
    assert_eq!((second.size, second.fetched), (SIZE, 0));
    assert_eq!(names_in(&directory), ["chart.bin"]);
    // It is of another size now.
    fs::write(directory.path().join("chart.bin"), "short").unwrap();
    assert_eq!(again().await.path.unwrap(), directory.path().join("chart.bin.1"));
}

#[tokio::test]
async fn all_bytes_but_no_name_yet_fetch_nothing() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.stall_after(300_000);
    interrupted(&site, &directory, 300_000).await;
    fs::write(directory.path().join(".chart.bin.portolan-part"), content(1)).unwrap();
    let download = Download::new(site.url(), into(&directory));
    let report = downloads().with_continue(true).one(download, &context()).await.unwrap();
    assert_eq!((report.size, report.fetched), (SIZE, 0));
    assert_eq!(fs::read(directory.path().join("chart.bin")).unwrap(), content(1));
}

#[tokio::test]
async fn a_full_disk_is_an_error_of_writing() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let to = |target| {
        let download = Download::new(site.url(), target);
        async { downloads().one(download, &context()).await.unwrap_err() }
    };
    let failing = Target::Writer(Box::new(Scribe { taken: Vec::new(), room: 1000 }));
    assert_eq!(to(failing).await.kind(), Kind::Write);
    assert_eq!(to(Target::File("/dev/full".into())).await.kind(), Kind::Write);
    let nowhere = directory.path().join("nowhere");
    let error = to(Target::Directory(nowhere)).await;
    assert_eq!(error.kind(), Kind::Write);
    assert!(format!("{error:#}").contains("nowhere/chart.bin: no such file"), "{error:#}");
}

#[tokio::test]
async fn a_writer_gets_each_byte_once() {
    let site = Site::start().await;
    site.cut_after(100_000);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let reading = tokio::spawn(read_all(theirs));
    let download = Download::new(site.url(), Target::Writer(Box::new(ours)));
    let report = retrying(1).one(download, &context()).await.unwrap();
    assert_eq!((report.path, report.fetched), (None, SIZE));
    assert_eq!(reading.await.unwrap(), content(1));

    // All comes again, and is known to be the same.
    site.forget_ranges();
    site.cut_after(100_000);
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let reading = tokio::spawn(read_all(theirs));
    let download = Download::new(site.url(), Target::Writer(Box::new(ours)));
    retrying(1).one(download, &context()).await.unwrap();
    assert_eq!(reading.await.unwrap(), content(1));

    site.cut_after(100_000);
    site.change_after_cut();
    let download = Download::new(site.url(), Target::Writer(Box::new(tokio::io::sink())));
    let error = retrying(1).one(download, &context()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Partial);
}

#[tokio::test]
async fn only_so_many_run_at_once() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    site.meet(2);
    let list = (0..6).map(|_| Download::new(site.url(), into(&directory)));
    let reports = downloads().with_concurrency(2).run(list, |_| context()).await;
    assert!(reports.iter().all(Result::is_ok));
    assert_eq!(site.most_at_once(), 2);
    assert_eq!(names_in(&directory).len(), 6);
}

#[tokio::test]
async fn a_failure_is_told_in_its_place() {
    let (site, directory) = (Site::start().await, tempfile::tempdir().unwrap());
    let urls = [site.url().with_path("/missing").unwrap(), site.url()];
    let list = urls.map(|url| Download::new(url, into(&directory)));
    let reports = downloads().run(list, |_| context()).await;
    assert_eq!(reports[0].as_ref().unwrap_err().kind(), Kind::NotFound);
    assert!(reports[1].is_ok());
}

async fn read_all(mut reader: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut bytes).await.unwrap();
    bytes
}

/// A writer with little room.
struct Scribe {
    taken: Vec<u8>,
    room: usize,
}

impl AsyncWrite for Scribe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Poller<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.taken.len() + bytes.len() > self.room {
            return Poll::Ready(Err(io::ErrorKind::StorageFull.into()));
        }
        self.taken.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Poller<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
