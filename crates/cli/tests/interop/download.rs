//! The verb `get` against nginx, which serves ranges.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::peer::{Peer, nginx};
use crate::support::Portolan;

/// 4 MiB that do not repeat.
fn content(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(4 << 20).collect()
}

/// nginx, which sends 2 MiB of each answer at once and the rest slowly, and logs what was fetched.
fn slow_after_half(peer_log: &str) -> Peer {
    nginx(
        "",
        &format!(
            "access_log {peer_log} sizes;
             location /slow/ {{ alias ./; limit_rate_after 2m; limit_rate 512k; }}"
        ),
        None,
    )
}

fn put(peer: &Peer, name: &str, content: &[u8]) {
    fs::write(peer.dir().join(name), content).unwrap();
}

/// Files of a directory other than what is being fetched.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// How many bytes are in `dir` that were begun to be fetched.
fn fetched(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    entries.sum()
}

#[test]
fn what_was_killed_in_the_middle_is_continued_with_the_rest_only() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let peer = slow_after_half(&log.path().display().to_string());
    let whole = content(1);
    put(&peer, "chart.bin", &whole);
    let home = Portolan::new();
    let dir = home.home.path().join("out");
    fs::create_dir(&dir).unwrap();
    let out = dir.display().to_string();
    let slow = format!("http://127.0.0.1:{}/slow/chart.bin", peer.port);
    let mut child =
        home.command(&["get", "-o", &out, &slow]).stderr(Stdio::null()).spawn().unwrap();
    while fetched(&dir) < 1 << 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(names(&dir), Vec::<String>::new(), "nothing stands under the final name");
    let had = fetched(&dir);

    // nginx sends the rest of it slowly, too, unless it is asked at another place.
    let run = home.run(&["get", "--continue", "--quiet", "-o", &out, &slow, "--timeout", "60s"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(names(&dir), ["chart.bin"]);
    assert!(fs::read(dir.join("chart.bin")).unwrap() == whole, "the file is another one");
    let log = fs::read_to_string(log.path()).unwrap();
    let last: Vec<_> = log.lines().last().unwrap().split(' ').collect();
    assert_eq!(last[0], "206", "{log}");
    let rest: u64 = last[1].parse().unwrap();
    assert!(rest <= whole.len() as u64 - (1 << 20), "{log}, of which {had} were there");
}

#[test]
fn what_has_changed_meanwhile_is_fetched_anew() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let peer = slow_after_half(&log.path().display().to_string());
    put(&peer, "chart.bin", &content(1));
    let home = Portolan::new();
    let out = home.home.path().join("chart.bin");
    let slow = format!("http://127.0.0.1:{}/slow/chart.bin", peer.port);
    let args = ["get", "-o", out.to_str().unwrap(), &slow];
    let mut child = home.command(&args).stderr(Stdio::null()).spawn().unwrap();
    while fetched(home.home.path()) < 1 << 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.exists());
    let changed = &content(2)[..3 << 20];
    put(&peer, "chart.bin", changed);
    home.run(&[&args[..], &["--continue", "--quiet", "--timeout", "60s"]].concat()).done();
    assert!(fs::read(&out).unwrap() == changed, "the file is neither one nor the other");
}

#[test]
fn many_are_fetched_at_once() {
    let peer = nginx("", "", None);
    let home = Portolan::new();
    let mut list = String::new();
    for number in 0..20 {
        put(&peer, &format!("{number}.txt"), format!("number {number}").as_bytes());
        list += &format!("http://127.0.0.1:{}/{number}.txt\n", peer.port);
    }
    let dir = home.home.path().join("out");
    fs::create_dir(&dir).unwrap();
    let args = ["get", "--from-file", "-", "-o", dir.to_str().unwrap()];
    assert_eq!(home.run_with_input(&args, &list).code, Some(0));
    assert_eq!(names(&dir).len(), 20);
    assert_eq!(fs::read_to_string(dir.join("7.txt")).unwrap(), "number 7");

    let missing = format!("http://127.0.0.1:{}/missing", peer.port);
    let run = home.run(&["get", "-o", dir.to_str().unwrap(), &missing]);
    assert_eq!(run.code, Some(78), "{}", run.err);
    assert_eq!(names(&dir).len(), 20);
}

#[test]
fn checksums_are_verified_before_a_file_stands_under_its_name() {
    let peer = nginx("", "", None);
    let whole = content(3);
    put(&peer, "chart.bin", &whole);
    let sum = Command::new("sha256sum").arg(peer.dir().join("chart.bin")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let home = Portolan::new();
    let out = home.home.path().join("chart.bin");
    let url = format!("http://127.0.0.1:{}/chart.bin", peer.port);
    let get = |sum: &str| {
        let sum = format!("sha256:{sum}");
        home.run(&["get", "--quiet", "--checksum", &sum, "-o", out.to_str().unwrap(), &url])
    };
    assert_eq!(get(&"0".repeat(64)).code, Some(1));
    assert!(!out.exists());
    get(&sum).done();
    assert!(fs::read(&out).unwrap() == whole);
}

#[test]
fn memory_stays_small_whatever_the_size() {
    const SIZE: u64 = 1 << 30;
    // More than the pipe takes: who has to write it has not ended.
    const REST: u64 = 4 << 20;
    let peer = nginx("", "", None);
    fs::File::create(peer.dir().join("large")).unwrap().set_len(SIZE).unwrap();
    let home = Portolan::new();
    let url = format!("http://127.0.0.1:{}/large", peer.port);
    let mut command = home.command(&["get", "--quiet", "-o", "-", &url]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let read = std::io::copy(&mut output.by_ref().take(SIZE - REST), &mut std::io::sink());
    assert_eq!(read.unwrap(), SIZE - REST);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 32 << 10, "{peak} KiB");
    assert_eq!(std::io::copy(&mut output, &mut std::io::sink()).unwrap(), REST);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_leaves_what_can_be_continued() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let peer = slow_after_half(&log.path().display().to_string());
    put(&peer, "chart.bin", &content(1));
    let home = Portolan::new();
    let dir = home.home.path().to_owned();
    let out = dir.join("chart.bin");
    let slow = format!("http://127.0.0.1:{}/slow/chart.bin", peer.port);
    let mut live = home.start(&["get", "-o", out.to_str().unwrap(), &slow]);
    while fetched(&dir) < 1 << 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    live.signal(Signal::INT);
    assert_eq!(live.end().code, Some(130));
    assert!(!out.exists());
    assert!(fetched(&dir) >= 1 << 20);
}
