//! The verb `serve http`, judged by curl, wget, wrk, h2load and Python's clients, and on a disk that
//! is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::namespace::privileged;
use crate::peer::spawn;
use crate::support::{Live, Portolan, serve_by};

/// A site that is served with flags of a test's choice.
pub(crate) struct Site {
    pub(crate) live: Live,
    /// Without a slash at its end.
    pub(crate) url: String,
}

impl Site {
    /// Serves `chart.bin`, of 1 MiB that does not repeat, `text.txt`, and `log/day 1.txt`.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let home = Portolan::new();
        let dir = home.home.path().to_owned();
        fs::write(dir.join("chart.bin"), content()).unwrap();
        fs::write(dir.join("text.txt"), text()).unwrap();
        fs::create_dir(dir.join("log")).unwrap();
        fs::write(dir.join("log/day 1.txt"), "calm").unwrap();
        Self::of(home, &dir, flags)
    }

    pub(crate) fn of(home: Portolan, dir: &Path, flags: &[&str]) -> Self {
        let args = ["serve", "http", dir.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        let (live, url) = serve_by(home, &[&args[..], flags].concat());
        Self { live, url: url.trim_end_matches('/').to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.live.portolan.home.path().join(name)
    }
}

fn content() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect()
}

fn text() -> String {
    "here be dragons\n".repeat(1000)
}

/// What a program prints before it ends well.
#[track_caller]
fn printed(package: &str, command: &mut Command) -> Vec<u8> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(command, package).wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{log}", output.status);
    output.stdout
}

/// What curl prints; it fails at a status from 400 on.
#[track_caller]
fn curl(args: &[&str]) -> Vec<u8> {
    let mut command = Command::new("curl");
    printed("curl", command.args(["-q", "--silent", "--show-error", "--fail"]).args(args))
}

/// Only the status that curl gets.
#[track_caller]
fn status(args: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-q", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
    String::from_utf8(printed("curl", command.args(args))).unwrap()
}

#[test]
fn curl_gets_ranges_and_goes_on_where_it_was() {
    let site = Site::start(&[]);
    let (whole, dir) = (content(), tempfile::tempdir().unwrap());
    let chart = format!("{}/chart.bin", site.url);
    assert!(curl(&[&chart]) == whole);
    assert!(curl(&["--range", "10-19", &chart]) == whole[10..20]);
    assert!(curl(&["--range", "-5", &chart]) == whole[whole.len() - 5..]);
    let parts = curl(&["--range", "0-1,10-19", &chart]);
    let has = |part: &[u8]| parts.windows(part.len()).any(|window| window == part);
    assert!(has(b"bytes 10-19/1048576"));
    assert!(has(&whole[10..20]));
    assert_eq!(status(&["--range", "2000000-", &chart]), "416");

    let part = dir.path().join("part");
    fs::write(&part, &whole[..300_000]).unwrap();
    let out = part.to_str().unwrap();
    curl(&["--continue-at", "-", "--output", out, &chart]);
    assert!(fs::read(&part).unwrap() == whole);
}

#[test]
fn curl_asks_only_for_what_has_changed_and_takes_what_is_compressed() {
    let site = Site::start(&[]);
    let file = format!("{}/text.txt", site.url);
    let tag = site.path("tag").display().to_string();
    let first = curl(&["--etag-save", &tag, &file]);
    assert_eq!(String::from_utf8(first).unwrap(), text());
    assert_eq!(status(&["--etag-compare", &tag, &file]), "304");
    fs::write(site.path("text.txt"), "changed").unwrap();
    assert_eq!(status(&["--etag-compare", &tag, &file]), "200");

    fs::write(site.path("text.txt"), text()).unwrap();
    let unpacked = curl(&["--compressed", &file]);
    assert_eq!(String::from_utf8(unpacked).unwrap(), text());
    let size = curl(&["--header", "Accept-Encoding: gzip", &file]).len();
    assert!(size < text().len() / 10, "{size}");
}

#[test]
fn curl_uploads_by_put_and_by_form() {
    let site = Site::start(&["--upload", "--upload-max", "2MiB"]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("new chart.bin");
    fs::write(&file, content()).unwrap();
    let (root, file) = (format!("{}/", site.url), file.to_str().unwrap());
    curl(&["--upload-file", file, &root]);
    assert!(fs::read(site.path("new chart.bin")).unwrap() == content());
    assert_eq!(status(&["--upload-file", file, &root]), "409");
    let log = format!("{}/log/", site.url);
    curl(&["--form", &format!("file=@\"{file}\""), &log]);
    assert!(fs::read(site.path("log/new chart.bin")).unwrap() == content());
    fs::write(file, vec![0; 3 << 20]).unwrap();
    assert_eq!(status(&["--upload-file", file, &format!("{log}large.bin")]), "413");
    // Its size is not known before.
    let pipe = "head -c 3000000 /dev/zero | curl -q --silent --output /dev/null --write-out \
                '%{http_code}' --upload-file - ";
    let shell = printed("curl", Command::new("sh").args(["-c", &format!("{pipe}{log}large.bin")]));
    assert_eq!(String::from_utf8(shell).unwrap(), "413");
    assert!(!site.path("log/large.bin").exists());
}

#[test]
fn curl_finds_no_way_out() {
    let site = Site::start(&["--upload", "--hidden", "--follow-symlinks"]);
    for path in ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2fetc%2fpasswd"] {
        let url = format!("{}{path}", site.url);
        let code = status(&["--path-as-is", &url]);
        assert!(["400", "403", "404"].contains(&code.as_str()), "{path}: {code}");
    }
}

#[test]
fn curl_speaks_http2_over_tls() {
    let site = Site::start(&["--tls", "self"]);
    let chart = format!("{}/chart.bin", site.url);
    let out = site.path("out").display().to_string();
    for version in ["--http1.1", "--http2"] {
        let spoken =
            curl(&["-k", version, "--output", &out, "--write-out", "%{http_version}", &chart]);
        assert_eq!(spoken, version.trim_start_matches("--http").as_bytes());
        assert!(fs::read(&out).unwrap() == content());
    }
}

#[test]
fn wget_mirrors_a_listing_and_goes_on_where_it_was() {
    let site = Site::start(&[]);
    let home = tempfile::tempdir().unwrap();
    let mut wget = Command::new("wget");
    wget.args(["--no-config", "--no-verbose", "--mirror", "--no-parent", "--no-host-directories"]);
    wget.args(["--reject-regex", r"\?sort=", &format!("{}/", site.url)]).current_dir(home.path());
    printed("wget", &mut wget);
    for name in ["chart.bin", "text.txt", "log/day 1.txt"] {
        assert!(fs::read(home.path().join(name)).unwrap() == fs::read(site.path(name)).unwrap());
    }
    fs::write(home.path().join("chart.bin"), &content()[..1000]).unwrap();
    let mut wget = Command::new("wget");
    wget.args(["--no-config", "--no-verbose", "--continue", &format!("{}/chart.bin", site.url)]);
    printed("wget", wget.current_dir(home.path()));
    assert!(fs::read(home.path().join("chart.bin")).unwrap() == content());
}

#[test]
fn wrk_finds_no_error() {
    let site = Site::start(&["--access-log", "off", "--quiet"]);
    for file in ["log/day%201.txt", "text.txt", "chart.bin"] {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", "64", "--duration", "2s"]);
        let report = printed("wrk", wrk.arg(format!("{}/{file}", site.url)));
        let report = String::from_utf8(report).unwrap();
        assert!(report.contains("Requests/sec:"), "{report}");
        assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    }
}

#[test]
fn h2load_finds_no_error() {
    let site = Site::start(&["--tls", "self", "--access-log", "off", "--quiet"]);
    for file in ["log/day%201.txt", "chart.bin"] {
        let mut h2load = Command::new("h2load");
        h2load.args(["--clients", "16", "--max-concurrent-streams", "10", "--requests", "1000"]);
        let report = printed("nghttp2-client", h2load.arg(format!("{}/{file}", site.url)));
        let report = String::from_utf8(report).unwrap();
        assert!(report.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
        assert!(report.contains("status codes: 1000 2xx"), "{report}");
    }
}

#[test]
fn clients_of_python_are_served() {
    let site = Site::start(&["--upload"]);
    let script = format!("{}/tests/interop/python/web_clients.py", env!("CARGO_MANIFEST_DIR"));
    let said = printed("python3-requests", Command::new("python3").args([&script, &site.url]));
    assert_eq!(String::from_utf8(said).unwrap(), "urllib\nhttp.client\nrequests\n");
    assert_eq!(fs::read_to_string(site.path("by-requests.txt")).unwrap(), "ahoy");
}

/// A small file system of its own, which goes when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = privileged("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=0777", "tmpfs"]).arg(dir.path());
        printed("mount", &mut mount);
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = privileged("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind_and_the_server_goes_on() {
    let disk = SmallDisk::mount();
    let root = disk.0.path();
    fs::write(root.join("chart.txt"), "here be dragons").unwrap();
    let site = Site::of(Portolan::new(), root, &["--upload", "--hidden"]);
    let home = tempfile::tempdir().unwrap();
    let large = home.path().join("large.bin");
    fs::write(&large, vec![1; 3 << 20]).unwrap();
    let (root_url, large) = (format!("{}/", site.url), large.to_str().unwrap());
    assert_eq!(status(&["--upload-file", large, &root_url]), "507");
    assert_eq!(status(&["--form", &format!("file=@{large}"), &root_url]), "507");
    let names: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["chart.txt"]);
    assert_eq!(curl(&[&format!("{root_url}chart.txt")]), b"here be dragons");
    fs::write(large, "small").unwrap();
    assert_eq!(status(&["--upload-file", large, &root_url]), "201");
}
