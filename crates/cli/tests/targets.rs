//! `probe` with many targets, expectations, rounds and forms of output.
#![expect(clippy::unwrap_used, reason = "what is needed for a test and fails, fails it")]

#[path = "support/pty.rs"]
mod pty;
#[expect(dead_code, reason = "these tests need no long scripts")]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use pty::Pty;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Portolan, Run, Servers, answering, get, run};

const NOTHING: &str = "unix:/nowhere/a.sock";

/// A peer's URL, with a password.
fn secret_url(scheme: &str) -> String {
    let port = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    format!("{scheme}://someone:hunter2@127.0.0.1:{port}/")
}

#[test]
fn reports_come_in_the_order_of_the_targets() {
    let servers = Servers::only(&["tcp", "http"]);
    let (tcp, http) = (servers.url("tcp"), servers.url("http"));
    let slow = format!("{http}delay/0.2");
    let targets = [&slow, &http, NOTHING, &tcp];
    let run = run(&[&["probe", "--json", "--concurrency", "4"], &targets[..]].concat());
    let found: Vec<_> = run.objects().into_iter().map(|report| report["target"].clone()).collect();
    assert_eq!(found, targets);
    assert_eq!(
        run.err,
        "portolan: unix:/nowhere/a.sock: could not connect to unix:/nowhere/a.sock: \
         no such file or directory\n"
    );
}

#[test]
fn the_exit_code_is_that_of_the_first_failure() {
    let servers = Servers::only(&["tcp"]);
    let tcp = servers.url("tcp");
    assert_eq!(run(&["probe", &tcp, "http://nowhere.invalid", NOTHING]).code, Some(6));
    assert_eq!(run(&["probe", &tcp, NOTHING, "http://nowhere.invalid"]).code, Some(7));
}

#[test]
fn a_thousand_targets() {
    let servers = Servers::only(&["http"]);
    let url = servers.url("http");
    let targets: Vec<_> = (0..1000).map(|number| format!("{url}status/200?{number}")).collect();
    let portolan = Portolan::new();
    let file = portolan.file("targets", &targets.join("\n"));
    // A second round would come in an hour: until then the memory of the first can be looked at.
    let mut live = portolan.start(&[
        "probe",
        "--json",
        "--concurrency",
        "200",
        "--watch",
        "1h",
        "--from-file",
        &file,
    ]);
    for target in &targets {
        let report = live.object();
        assert_eq!((&report["target"], &report["ok"]), (&target.as_str().into(), &true.into()));
    }
    #[cfg(target_os = "linux")]
    assert!(peak(&live) < 100 * 1024, "{}", peak(&live));
    live.signal(Signal::INT);
    let end = live.end();
    assert_eq!((end.code, end.out.as_str(), end.err.as_str()), (Some(130), "", ""));
}

#[test]
fn more_connections_than_the_usual_limit_of_files() {
    let servers = Servers::only(&["http"]);
    let slow = format!("{}delay/0.3\n", servers.url("http"));
    let portolan = Portolan::new();
    let file = portolan.file("targets", &slow.repeat(200));
    let probe =
        portolan.command(&["probe", "--json", "--concurrency", "200", "--from-file", &file]);
    // The hard limit stays as it is.
    let mut limited = std::process::Command::new("/bin/sh");
    limited.args(["-c", "ulimit -S -n 64 && exec \"$0\" \"$@\""]).arg(probe.get_program());
    let run = Run::from(limited.args(probe.get_args()).env_clear().output().unwrap());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    assert_eq!(run.objects().len(), 200);
}

#[test]
fn no_more_at_once_than_files_can_be_open() {
    let servers = Servers::only(&["http"]);
    let url = servers.url("http");
    let targets: Vec<_> = (0..1000).map(|number| format!("{url}status/200?{number}")).collect();
    let portolan = Portolan::new();
    let file = portolan.file("targets", &targets.join("\n"));
    let probe =
        portolan.command(&["probe", "--json", "--concurrency", "2000", "--from-file", &file]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""]);
    let shell = shell.arg(probe.get_program()).args(probe.get_args()).stdin(Stdio::null());
    let run = Run::from(shell.env_clear().output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(run.out.lines().count(), 1000);
    assert_eq!(run.err, "probing 96 at once: more would need more open files (ulimit -n)\n");
}

#[test]
#[cfg(target_os = "linux")]
fn many_targets_need_little_memory() {
    const COUNT: usize = 100_000;
    let peak_of = |count: usize| {
        let portolan = Portolan::new();
        let lines: Vec<_> = (0..count).map(|n| format!("http://127.0.0.1:1/{n}")).collect();
        let file = portolan.file("targets", &lines.join("\n"));
        let flags = ["--watch", "1h", "--from-file", &file];
        let mut live = portolan.start(&[&["probe", "--json"][..], &flags].concat());
        live.object();
        peak(&live)
    };
    let each = (peak_of(COUNT) - peak_of(1)) * 1024 / COUNT;
    // A URL has its host and its path in memory of their own.
    let url = size_of::<portolan::Url>() + 2 * 32;
    assert!(each < url + 200, "{each}");
}

/// The most memory that the run has had, in KiB.
#[cfg(target_os = "linux")]
fn peak(live: &support::Live) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", live.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_signal_ends_what_waits_for_a_file() {
    let waiting: [&[&str]; 4] = [
        &["--from-file", "-"],
        &["--from-file", "/dev/stdin"],
        &["https://localhost:1", "--cacert", "/dev/stdin"],
        &["https://localhost:1", "--cert", "/dev/stdin"],
    ];
    for flags in waiting {
        let mut command = Portolan::new().command(&[&["probe"], flags].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than a pipe holds: once it is written, it is being read.
        stdin.write_all(&b"# nothing\n".repeat(20_000)).unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let run = Run::from(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.err.as_str()), (Some(130), ""), "{flags:?}");
        drop(stdin);
    }
}

#[test]
fn expectations() {
    let http = Servers::only(&["http"]);
    let url = http.url("http");
    let probe = |url: &str, expected: &str| run(&["probe", "--json", url, "--expect", expected]);
    let met = probe(&url, "status=200,body~portolan lab,rtt<10s,connect<10s");
    assert_eq!(met.code, Some(0), "{}", met.out);
    let unmet = probe(&url, "status=404,body!~lab");
    assert_eq!(unmet.code, Some(1));
    let error = &unmet.objects()[0]["error"];
    assert_eq!((&error["kind"], &error["phase"]), (&"unmet".into(), &Value::Null));
    assert_eq!(
        error["message"],
        "expected status=404, got 200; expected body!~lab, it is in the body"
    );
    let missing = probe(&format!("{url}status/404"), "status=2xx");
    assert_eq!(missing.objects()[0]["error"]["message"], "expected status=2xx, got 404");
}

#[test]
fn expectations_that_make_no_sense() {
    let refused = |expected: &str, words: &[&str]| {
        run(&["probe", "http://127.0.0.1:1", "--expect", expected]).refused(words);
    };
    refused("status", &["--expect", "'status'", "status=200, body~REGEX"]);
    refused("colour=red", &["--expect", "'colour'", "status, body, cert-days, rtt"]);
    refused("status~200", &["--expect", "= != < <= > >=", "not ~"]);
    refused("status=2000", &["--expect", "'2000'", "100 to 599"]);
    refused("body~(", &["--expect", "'('", "regular expression"]);
    refused("rtt<fast", &["--expect", "'fast'", "250ms"]);
    let misfit = run(&["probe", "tcp:1", NOTHING, "--expect", "status=200"]);
    let words = "--expect status=200 does not apply to tcp: and unix: targets; it fits http, https";
    misfit.refused(&[words]);
}

#[test]
fn targets_from_a_file_or_stdin() {
    let servers = Servers::only(&["tcp"]);
    let tcp = servers.url("tcp");
    let portolan = Portolan::new();
    let text = format!("# what matters\n\n  {tcp}  \n{NOTHING}\r\n");
    let file = portolan.file("targets", &text);
    let targets =
        |run: &Run| run.objects().iter().map(|report| report["target"].clone()).collect::<Vec<_>>();
    let from_file = portolan.run(&["probe", "--json", "--from-file", &file]);
    assert_eq!(targets(&from_file), [&tcp, NOTHING]);
    let from_stdin = portolan.run_with_input(&["probe", "--json", "--from-file", "-"], &text);
    assert_eq!(targets(&from_stdin), [&tcp, NOTHING]);
    let both = portolan.run(&["probe", "--json", NOTHING, "--from-file", &file]);
    assert_eq!(targets(&both), [NOTHING, &tcp, NOTHING]);

    let empty = portolan.file("empty", "# nothing\n");
    portolan.run(&["probe", "--from-file", &empty]).refused(&["--from-file", &empty]);
    let bad = portolan.file("bad", "tcp:1\ntcp:99999\n");
    portolan.run(&["probe", "--from-file", &bad]).refused(&["line 2", "'tcp:99999'", "65535"]);
    let missing = portolan.run(&["probe", "--from-file", "/nowhere/list"]);
    missing.failed(
        26,
        &["portolan: could not read --from-file /nowhere/list: no such file or directory"],
    );
}

#[test]
fn names_that_are_given_addresses() {
    let servers = Servers::only(&["http"]);
    let port = servers.lab.url("http").unwrap().port();
    let probe = |resolve: &str| {
        let url = format!("http://nowhere.invalid:{port}/");
        run(&["probe", "--json", &url, "--resolve", resolve]).code
    };
    assert_eq!(probe(&format!("*:{port}:127.0.0.1")), Some(0));
    // Nothing listens at the first address.
    assert_eq!(probe(&format!("nowhere.invalid:{port}:[::1],127.0.0.1")), Some(0));
    assert_eq!(probe(&format!("*:{}:127.0.0.1", port - 1)), Some(6));
}

#[test]
fn flags_and_urls_that_make_no_sense() {
    let refused = |args: &[&str], words: &[&str]| run(&[&["probe"], args].concat()).refused(words);
    refused(&["gopher://a/"], &["'gopher://a/'", "tcp udp unix tls http https"]);
    refused(&["tcp://a:99999"], &["'tcp://a:99999'", "65535"]);
    refused(&["tcp://a"], &["'tcp://a'", "tcp://host:port"]);
    refused(&["tcp://a:1/path"], &["'tcp://a:1/path'", "no path"]);
    refused(&["smtp://a"], &["smtp:"]);
    refused(&["tcp:1", "--concurrency", "0"], &["--concurrency", "'0'", "1 to 10000"]);
    refused(&["tcp:1", "--watch", "0s"], &["--watch", "'0s'", "30s"]);
    refused(&["tcp:1", "--resolve", "a"], &["--resolve", "'a'", "HOST:PORT:ADDR"]);
    refused(&["tcp:1", "-k"], &["--insecure", "tcp:", "tls, https"]);
    refused(&["tcp:1", "-4", "-6"], &["--ipv4", "--ipv6"]);
    refused(&[NOTHING, "--proxy", "http://p"], &["--proxy", "unix:"]);
    refused(&["udp:1", "--proxy", "http://p"], &["--proxy", "udp:"]);
    refused(&["--proxy", "http://p"], &["--proxy", "the lab"]);
}

#[test]
fn passwords_are_in_no_output() {
    let portolan = Portolan::new();
    let (good, bad) = (secret_url("http"), "http://someone:hunter2@127.0.0.1:99999/");
    let refusing = Servers::with_fault(&["tcp"], "refuse");
    let port = refusing.lab.url("tcp").unwrap().port();
    let proxy = format!("http://someone:hunter2@127.0.0.1:{port}");
    let file = portolan.file("targets", &format!("{good}\n"));
    let bad_file = portolan.file("bad", &format!("{bad}\nhttp://so:hun ter2 hunter2@a:b\n"));
    let calls: [&[&str]; 9] = [
        &[&good],
        &[&good, NOTHING],
        &[&good, "--expect", "status=404"],
        &["--from-file", &file],
        &["--from-file", &bad_file],
        &[bad],
        &[&good, "--proxy", &proxy, "--retry", "1", "--retry-backoff", "1ms"],
        &["tcp:1", "--proxy", &proxy],
        &["http://someone:hunter2@nowhere.invalid"],
    ];
    for call in calls {
        for flags in [&["-vv"][..], &["-vv", "--json"], &["-q"]] {
            let run = portolan.run(&[&["probe"], flags, call].concat());
            let output = format!("{}{}", run.out, run.err);
            assert!(!output.is_empty(), "{call:?}");
            for secret in ["hunter2", "someone", "aHVudGVyMg", "c29tZW9uZ"] {
                assert!(!output.contains(secret), "{call:?}: {output}");
            }
        }
    }
}

#[test]
fn each_phase_as_it_happens() {
    let servers = Servers::with_fault(&["tcp", "http"], "tcp: refuse");
    let run = run(&["probe", "-v", &servers.url("http")]);
    let names: Vec<_> = run.err.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(names, ["resolve", "connect", "send", "wait", "receive"]);
    assert!(run.err.contains("addresses 127.0.0.1, origin literal"), "{}", run.err);

    let retried = support::run(&[
        "probe",
        "-v",
        "--retry",
        "2",
        "--retry-backoff",
        "1ms",
        &servers.url("tcp"),
    ]);
    assert_eq!(retried.code, Some(7));
    assert_eq!(retried.err.matches("* trying again in ").count(), 2, "{}", retried.err);
    assert_eq!(retried.err.matches("* no connection to 127.0.0.1:").count(), 3);
}

#[test]
fn what_failed_once_and_then_worked_is_noted() {
    let servers = Servers::with_fault(&["http"], "conn=1: reset");
    let run =
        run(&["probe", "--json", "--retry", "1", "--retry-backoff", "1ms", &servers.url("http")]);
    assert_eq!(run.code, Some(0), "{}", run.out);
    assert_eq!(run.objects()[0]["notes"][0], "worked at the second try");
}

#[test]
fn rounds_until_a_signal() {
    for signal in [Signal::INT, Signal::TERM] {
        let servers = Servers::only(&["tcp"]);
        let url = servers.url("tcp");
        let mut live = Portolan::new().start(&["probe", "--json", "--watch", "20ms", &url]);
        for _ in 0..3 {
            assert_eq!(live.object()["target"], url);
        }
        live.signal(signal);
        let end = live.end();
        assert_eq!((end.code, end.err.as_str()), (Some(130), ""));
    }
}

#[test]
fn a_lab_that_is_probed_leaves_nothing_behind() {
    let portolan = Portolan::new();
    assert!(portolan.run(&["probe"]).done().contains("up    unix unix:/"));
    assert_eq!(sockets(&portolan), 0);
    let mut live = portolan.start(&["probe", "--json", "--watch", "20ms"]);
    while live.object()["name"] != "http-proxy" {}
    assert_eq!(sockets(&live.portolan), 1);
    live.signal(Signal::INT);
    assert_eq!(live.end().code, Some(130));
    assert_eq!(sockets(&live.portolan), 0);
}

/// How many files of sockets there are in the home.
fn sockets(portolan: &Portolan) -> usize {
    let entries = fs::read_dir(portolan.home.path()).unwrap();
    entries.filter(|e| e.as_ref().unwrap().path().extension() == Some("sock".as_ref())).count()
}

#[test]
fn metrics() {
    let servers = Servers::with_fault(&["http"], "latency=100ms");
    let url = servers.url("http");
    let args = ["probe", "--json", "--metrics", "127.0.0.1:0", "--watch", "20ms", &url, NOTHING];
    let mut live = Portolan::new().start(&args);
    let listening = live.object();
    assert_eq!(listening["type"], "listening");
    // The second round begins after the first was counted.
    for _ in 0..3 {
        live.object();
    }
    let page = get(listening["url"].as_str().unwrap());
    for line in [
        format!("portolan_probe_up{{target=\"{url}\"}} 1"),
        format!("portolan_probe_up{{target=\"{NOTHING}\"}} 0"),
        format!("portolan_probe_http_status{{target=\"{url}\"}} 200"),
    ] {
        assert!(page.contains(&line), "{line} is not in:\n{page}");
    }
    let wait = format!("portolan_probe_phase_duration_seconds{{target=\"{url}\",phase=\"wait\"}} ");
    let seconds = page.lines().find_map(|line| line.strip_prefix(&wait)).unwrap();
    assert!((0.05..50.0).contains(&seconds.parse().unwrap()), "{seconds}");
    live.signal(Signal::INT);
    assert_eq!(live.end().code, Some(130));
}

#[test]
fn metrics_forget_what_is_no_longer_known() {
    let servers = Servers::with_fault(&["http"], "conn=2..1000: reset");
    let url = servers.url("http");
    let args = ["probe", "--json", "--metrics", "127.0.0.1:0", "--watch", "20ms", &url];
    let mut live = Portolan::new().start(&args);
    let page = live.object()["url"].as_str().unwrap().to_owned();
    assert_eq!(live.object()["ok"], true);
    // A report is counted before it is shown.
    assert_eq!(live.object()["ok"], false);
    let page = get(&page);
    for line in [
        format!("portolan_probe_up{{target=\"{url}\"}} 0"),
        format!("portolan_probe_http_status{{target=\"{url}\"}} NaN"),
        format!("portolan_probe_phase_duration_seconds{{target=\"{url}\",phase=\"receive\"}} NaN"),
        format!("portolan_probe_runs_total{{target=\"{url}\",result=\"ok\"}} 1"),
    ] {
        assert!(page.contains(&line), "{line} is not in:\n{page}");
    }
}

#[test]
fn an_address_for_metrics_that_is_taken() {
    let servers = Servers::only(&["tcp"]);
    let address = servers.url("tcp").replace("tcp://", "");
    let run = run(&["probe", "--metrics", &address, NOTHING]);
    let sentence = format!("portolan: could not listen on {address}: address already in use");
    assert_eq!(run.err.lines().next(), Some(&sentence[..]));
    assert_eq!(run.code, Some(7));
}

#[test]
fn text_for_people() {
    let servers = Servers::with_fault(&["tcp", "http"], "tcp: refuse");
    let (tcp, http) = (servers.url("tcp"), servers.url("http"));
    let text = run(&["probe", &http, &tcp]).out;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].trim_start().starts_with("target  "), "{text}");
    assert!(lines[1].starts_with(&format!("up    {http}  ")), "{text}");
    assert!(lines[2].starts_with(&format!("down  {tcp}  ")), "{text}");
    assert!(lines[3].starts_with("      connect: could not connect to "), "{text}");
    assert!(lines[4].starts_with("      hint: nothing listens on port "), "{text}");
    assert!(lines[5].contains("x failed"), "{text}");
    assert_eq!(lines.len(), 6, "{text}");
    for line in lines {
        assert_eq!(line.trim_end(), line);
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    let colored = run(&["probe", "--color", "always", &http]);
    assert!(colored.out.contains("\u{1b}["), "{}", colored.out);
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let port = answering(b"HTTP/1.1 302 Found\r\nLocation: http://a.test/a/long/way\r\n\r\n");
    let long = format!("http://127.0.0.1:{port}/{}", "a/very/long/way/".repeat(9));
    for columns in [60, 80, 120] {
        let shown = on_terminal(columns, &["probe", &long, NOTHING, "--color", "never"]);
        assert!(shown.contains('…') && shown.contains("a.test/a/long/way"), "{shown}");
        for line in shown.lines() {
            assert!(line.chars().count() <= usize::from(columns), "{columns}: {line}");
        }
    }
    // What is kept is whole.
    assert!(run(&["probe", &long]).out.contains(&long));
}

/// What a terminal of this width gets to see.
fn on_terminal(columns: u16, args: &[&str]) -> String {
    let mut pty = Pty::new(24, columns);
    let mut command = Portolan::new().command(args);
    command.stdout(pty.open());
    let mut child = command.spawn().unwrap();
    // The terminal hangs up once nobody has its other end open.
    drop(command);
    let mut shown = Vec::new();
    let _ = pty.controller.read_to_end(&mut shown);
    child.wait().unwrap();
    String::from_utf8(shown).unwrap().replace('\r', "")
}

#[test]
fn a_reader_that_goes_away_ends_the_probe_quietly() {
    let mut command = Portolan::new().command(&["probe", "--json", NOTHING, NOTHING]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Run::from(command.stdout(writer).output().unwrap());
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
}
