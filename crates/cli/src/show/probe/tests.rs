use std::time::Instant;

use portolan::{Event, Kind, Phase, Timings};

use super::*;

/// A phase of so many microseconds, with its facts, or with why it failed.
#[derive(Clone)]
struct Step(&'static str, u64, Vec<(&'static str, Value)>, Option<&'static str>);

fn step(name: &'static str, micros: u64) -> Step {
    Step(name, micros, Vec::new(), None)
}

fn timings(steps: Vec<Step>) -> Timings {
    let mut timings = Timings::default();
    let mut at: Instant = portolan::net::now();
    for Step(name, micros, facts, failure) in steps {
        let phase = Phase::new(name);
        timings.record(at, &Event::Started(phase));
        for (name, value) in facts {
            timings.record(at, &Event::Fact(phase, name, value));
        }
        at += Duration::from_micros(micros);
        timings.record(at, &Event::Finished(phase, failure.map(str::to_owned)));
    }
    timings
}

fn report(url: &str, steps: Vec<Step>) -> Report {
    Report {
        target: Target::from(url.parse::<portolan::Url>().unwrap()),
        timings: timings(steps),
        answer: None,
        error: None,
        notes: Vec::new(),
    }
}

fn working() -> Report {
    let wait = vec![("status", Value::Count(200)), ("version", "HTTP/1.1".into())];
    let steps = vec![
        Step("resolve", 500, vec![("addresses", Value::texts(["127.0.0.1"]))], None),
        step("connect", 1_000),
        step("send", 500),
        Step("wait", 10_000, wait, None),
        Step("receive", 0, vec![("bytes", Value::Count(12))], None),
    ];
    report("http://a.test/", steps)
}

fn failing() -> Report {
    let steps = vec![step("resolve", 5_000), Step("connect", 1, Vec::new(), Some("refused"))];
    let error = Error::new(Kind::Connect, "could not connect to b.test:1: connection refused")
        .with_phase(Phase::CONNECT)
        .with_hint("nothing listens on port 1 there, or a firewall rejects it");
    Report { error: Some(error), ..report("tcp://b.test:1", steps) }
}

/// The text as it is seen, without styles.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// All that is shown of reports on a terminal of this width.
fn shown(reports: &[&Report], width: usize) -> String {
    let labels: Vec<_> = reports.iter().map(|report| label(&report.target)).collect();
    let layout = Layout::new(labels.iter().map(String::as_str), width);
    let detail = reports.len() == 1;
    let mut lines = vec![layout.head()];
    lines.extend(reports.iter().map(|one| layout.report(one, detail)));
    let seen = reports.iter().flat_map(|report| marks(report)).collect();
    lines.push(layout.legend(&seen));
    plain(&lines.join("\n"))
}

#[test]
fn rows_with_bars_to_scale() {
    insta::assert_snapshot!(shown(&[&working(), &failing()], 80), @r"
          target             total  phases                    slowest
    up    http://a.test/     12 ms  ·░░>▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  wait 10 ms
    down  tcp://b.test:1   5.00 ms  ·······················x  resolve 5 ms
          connect: could not connect to b.test:1: connection refused
          hint: nothing listens on port 1 there, or a firewall rejects it
          · resolve  ░ connect  > send  ▓ wait  █ receive  x failed
    ");
}

#[test]
fn a_lone_target_has_its_phases_one_below_the_other() {
    insta::assert_snapshot!(shown(&[&working()], 80), @r"
          target             total  phases                    slowest
    up    http://a.test/     12 ms  ·░░>▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  wait 10 ms
          resolve     500 µs  ·                         127.0.0.1
          connect       1 ms   ░░
          send        500 µs     >
          wait         10 ms      ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  status 200, HTTP/1.1
          receive       0 µs                         █  12 bytes
          · resolve  ░ connect  > send  ▓ wait  █ receive
    ");
    insta::assert_snapshot!(shown(&[&failing()], 80), @r"
          target             total  phases                    slowest
    down  tcp://b.test:1   5.00 ms  ·······················x  resolve 5 ms
          resolve       5 ms  ························
          connect       1 µs                         x
          connect: could not connect to b.test:1: connection refused
          hint: nothing listens on port 1 there, or a firewall rejects it
          · resolve  x failed
    ");
}

#[test]
fn a_websocket_has_a_mark_and_times_of_its_own() {
    let wait = vec![("pong_ms", Value::Number(0.119)), ("echo_ms", Value::Number(0.052))];
    let steps = vec![step("upgrade", 1_000), Step("wait", 1_000, wait, None)];
    let text = shown(&[&report("ws://a.test/", steps)], 80);
    assert!(text.contains("pong 119 µs, echo 52 µs"), "{text}");
    assert!(text.ends_with("+ upgrade  ▓ wait"), "{text}");
}

#[test]
fn a_certificate_is_told_of_in_full() {
    let certificate = Value::Record(vec![
        ("subject", "CN=a.test".into()),
        ("issuer", "CN=an authority".into()),
        ("names", Value::texts(["a.test", "b.test"])),
        ("not_after", "2027-02-19T03:37:14Z".into()),
        ("days_left", Value::Number(90.0)),
    ]);
    let facts = vec![
        ("version", "TLSv1.3".into()),
        ("certificate", certificate),
        ("chain", Value::texts(["CN=a.test", "CN=a link"])),
    ];
    let report = report("tls://a.test:1", vec![Step("tls", 1_000, facts, None)]);
    insta::assert_snapshot!(shown(&[&report], 80), @r"
          target             total  phases                    slowest
    up    tls://a.test:1      1 ms  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  tls 1 ms
          tls           1 ms  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  TLSv1.3
          cert: CN=a.test for a.test, b.test; from CN=an authority; until
                2027-02-19, 90 days left; sent with CN=a link
          ▒ tls
    ");
    assert!(!shown(&[&report, &working()], 80).contains("cert: "));
}

#[test]
fn what_is_narrow_loses_times_then_bars_then_the_ends_of_targets() {
    let mut long = working();
    long.target.url = "http://a.test/a/path/of/some/length".parse().unwrap();
    insta::assert_snapshot!(shown(&[&long, &failing()], 80), @r"
          target                                  total  phases              slowest
    up    http://a.test/a/path/of/some/length     12 ms  ·░>▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  wait
    down  tcp://b.test:1                        5.00 ms  ·················x  resolve
          connect: could not connect to b.test:1: connection refused
          hint: nothing listens on port 1 there, or a firewall rejects it
          · resolve  ░ connect  > send  ▓ wait  █ receive  x failed
    ");
    insta::assert_snapshot!(shown(&[&long, &failing()], 60), @r"
          target                total  phases            slowest
    up    http://a.test/a/…     12 ms  ·░>▓▓▓▓▓▓▓▓▓▓▓▓▓  wait
    down  tcp://b.test:1      5.00 ms  ···············x  resolve
          connect: could not connect to b.test:1: connection
          refused
          hint: nothing listens on port 1 there, or a firewall
                rejects it
          · resolve  ░ connect  > send  ▓ wait  █ receive
          x failed
    ");
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    let mut long = failing();
    long.target.url = format!("http://a.test/{}", "long/".repeat(99)).parse().unwrap();
    long.notes = vec!["word ".repeat(60), "w".repeat(300), "広い文字".repeat(40)];
    let many = vec![step("resolve", 1); 40];
    let facts = vec![("certificate", Value::from("x".repeat(400)))];
    let crowded = report("tls://[::1]:1", [many, vec![Step("tls", 9, facts, None)]].concat());
    for width in (48..=200).chain([usize::MAX]) {
        for reports in [&[&long][..], &[&crowded], &[&long, &crowded, &working()]] {
            for line in shown(reports, width).lines() {
                assert!(line.width() <= width, "{width}: {line}");
                assert_eq!(line.trim_end(), line, "{width}");
            }
        }
    }
    // Narrower ones are taken to be this wide.
    assert_eq!(shown(&[&long], 1), shown(&[&long], 48));
}

#[test]
fn what_no_terminal_bounds_is_whole() {
    let mut long = failing();
    long.target.url = format!("http://a.test/{}", "long/".repeat(99)).parse().unwrap();
    long.notes = vec!["word ".repeat(60)];
    let text = shown(&[&long], usize::MAX);
    assert!(text.contains(&long.target.url.to_string()), "{text}");
    assert!(text.contains(long.notes[0].trim_end()), "{text}");
}

#[test]
fn every_failure_is_seen_in_its_bar() {
    let short = vec![step("wait", 1_000_000), Step("receive", 0, Vec::new(), Some("lost"))];
    assert!(plain(&bar(&report("tcp:1", short), 16)).ends_with('x'));
    let at_once = vec![Step("connect", 0, Vec::new(), Some("refused"))];
    assert_eq!(plain(&bar(&report("tcp:1", at_once), 4)), "xxxx");
}

#[test]
fn bars_are_as_wide_as_they_should_be() {
    assert_eq!(plain(&bar(&report("tcp:1", Vec::new()), 5)), "     ");
    assert_eq!(plain(&bar(&report("tcp:1", vec![step("connect", 0)]), 5)), "     ");
    assert_eq!(plain(&bar(&report("tcp:1", vec![step("kex", 7)]), 5)), "~~~~~");
    let thirds = vec![step("connect", 5), step("proxy", 5), step("tls", 5)];
    assert_eq!(plain(&bar(&report("tcp:1", thirds), 6)), "░░--▒▒");
}

#[test]
fn a_report_without_phases_is_a_row() {
    let none = report("udp:1", Vec::new());
    insta::assert_snapshot!(shown(&[&none], 80), @r"
          target                total  phases                    slowest
    up    udp://127.0.0.1:1      0 µs
    ");
}

#[test]
fn targets_have_names_and_ways() {
    let mut named = working();
    named.target.name = Some("http".to_owned());
    assert_eq!(label(&named.target), "http http://a.test/");
    named.target.via = Some("socks5://127.0.0.1:9".parse().unwrap());
    assert_eq!(label(&named.target), "http socks5://127.0.0.1:9");
    named.target.name = None;
    assert_eq!(label(&named.target), "http://a.test/");
}

#[test]
fn what_a_peer_says_does_not_steer_the_terminal() {
    let mut report = failing();
    report.notes = vec!["red\u{1b}[31m\nand\u{202e}back".to_owned()];
    let name = vec![("alpn", Value::from("CN=\u{1b}]0;title\u{7}x"))];
    report.timings = timings(vec![Step("tls", 5, name, None)]);
    let text = shown(&[&report], 80);
    assert!(text.contains("note: red[31m andback"), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
}

#[test]
fn a_report_as_an_object() {
    let object = serde_json::to_string(&ProbeReport::new(&working())).unwrap();
    insta::assert_snapshot!(object, @r#"{"target":"http://a.test/","ok":true,"total_ms":12.0,"phases":[{"name":"resolve","ms":0.5,"ok":true,"detail":{"addresses":["127.0.0.1"]}},{"name":"connect","ms":1.0,"ok":true,"detail":{}},{"name":"send","ms":0.5,"ok":true,"detail":{}},{"name":"wait","ms":10.0,"ok":true,"detail":{"status":200,"version":"HTTP/1.1"}},{"name":"receive","ms":0.0,"ok":true,"detail":{"bytes":12}}],"error":null,"notes":[],"attempts":[]}"#);
    let object = serde_json::to_string(&ProbeReport::new(&failing())).unwrap();
    insta::assert_snapshot!(object, @r#"{"target":"tcp://b.test:1","ok":false,"total_ms":5.001,"phases":[{"name":"resolve","ms":5.0,"ok":true,"detail":{}},{"name":"connect","ms":0.001,"ok":false,"detail":{}}],"error":{"phase":"connect","kind":"connect","code":7,"message":"could not connect to b.test:1: connection refused","hint":"nothing listens on port 1 there, or a firewall rejects it"},"notes":[],"attempts":[]}"#);
}

#[test]
fn an_object_has_name_and_way_where_the_target_has() {
    let mut named = report("http://u:hush@a.test/", Vec::new());
    named.target.name = Some("http-proxy".to_owned());
    named.target.via = Some("http://u:hush@b.test:3128".parse().unwrap());
    let object = serde_json::to_value(ProbeReport::new(&named)).unwrap();
    assert_eq!(object["target"], "http://***@a.test/");
    assert_eq!(object["name"], "http-proxy");
    assert_eq!(object["via"], "http://***@b.test:3128/");
}
