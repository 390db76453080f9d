use std::time::Instant;

use bytes::Bytes;
use portolan_core::Event;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Expectation {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn answer(status: u16, body: &'static str) -> Answer {
    Answer { status: Some(status), body: Some(Bytes::from(body)), ..Answer::default() }
}

/// Timings of a single phase `wait`.
fn waited(millis: u64) -> Timings {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let start = Instant::now();
    let wait = Phase::new("wait");
    let mut timings = Timings::default();
    timings.record(start, &Event::Started(wait));
    timings.record(start + Duration::from_millis(millis), &Event::Finished(wait, None));
    timings
}

#[test]
fn what_is_met_and_what_is_not() {
    let answer = answer(204, "all systems ready");
    let timings = waited(50);
    let met = |text: &str| parse(text).contradiction(&answer, &timings).is_none();
    for text in [
        "status=204",
        "status!=200",
        "status<300",
        "status=2xx",
        "status!=5xx",
        "body~ready$",
        "body!~error",
        "rtt<51ms",
        "wait>=50ms",
        " status = 204 ",
    ] {
        assert!(met(text), "{text}");
    }
    for text in ["status=200", "status>=300", "status=4xx", "body~^ready", "rtt<50ms", "wait>1s"] {
        assert!(!met(text), "{text}");
    }
}

#[test]
fn a_phase_that_did_not_happen_is_not_as_expected() {
    let expectation = parse("proxy<1s");
    let found = expectation.contradiction(&answer(200, ""), &waited(50));
    assert_eq!(found.as_deref(), Some("there was no phase proxy"));
    // But it is not asked of targets that cannot have it.
    let target = Target::from("unix:/a".parse::<portolan_core::Url>().unwrap());
    let unmet = Expectation::unmet(&[expectation], &target, &Answer::default(), &waited(50));
    assert!(unmet.is_none());
}

#[test]
fn a_certificate_that_was_not_read_is_not_as_expected() {
    let found = parse("cert-days>14").contradiction(&Answer::default(), &waited(50));
    assert_eq!(found.as_deref(), Some("the certificate could not be read"));
}

#[test]
fn lists_keep_commas_within_expressions() {
    let list = |text| -> Vec<String> {
        let list = Expectation::parse_list(text).unwrap();
        list.iter().map(ToString::to_string).collect()
    };
    assert_eq!(list("status=200,rtt<1s"), ["status=200", "rtt<1s"]);
    assert_eq!(list("body~a{1,3},status=200"), ["body~a{1,3}", "status=200"]);
    assert_eq!(list("body~a,b=c"), ["body~a,b=c"]);
}

#[test]
fn malformed_ones_are_refused_with_what_is_allowed() {
    let error = |text: &str| match text.parse::<Expectation>() {
        Ok(expectation) => panic!("{text} was read as {expectation}"),
        Err(error) => error.to_string(),
    };
    assert!(error("status").contains("KEY, comparison, VALUE"));
    assert!(error("=200").contains("KEY, comparison, VALUE"));
    assert!(error("colour=red").contains("status, body, cert-days, rtt"));
    assert!(error("status~200").contains("= != < <= > >="));
    assert!(error("status=20").contains("100 to 599"));
    assert!(error("status<2xx").contains("= !="));
    assert!(error("body=x").contains("~ !~"));
    assert!(error("body~(").contains("regular expression"));
    assert!(error("cert-days>soon").contains("number of days"));
    assert!(error("rtt=5ms").contains("< <= > >="));
    assert!(error("rtt<5").contains("250ms"));
}

#[test]
fn schemes_to_which_they_apply() {
    assert!(parse("status=200").applies_to(Scheme::Https));
    assert!(!parse("status=200").applies_to(Scheme::Tcp));
    assert!(parse("cert-days>1").applies_to(Scheme::Tls));
    assert!(!parse("cert-days>1").applies_to(Scheme::Http));
    assert!(parse("rtt<1s").applies_to(Scheme::Unix));
    assert!(parse("connect<1s").applies_to(Scheme::Unix));
    assert!(!parse("resolve<1s").applies_to(Scheme::Unix));
    assert!(parse("wait<1s").applies_to(Scheme::Udp));
    assert!(!parse("wait<1s").applies_to(Scheme::Tcp));
    assert!(!parse("tls<1s").applies_to(Scheme::Http));
    assert!(parse("tls<1s").applies_to(Scheme::Https));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = Expectation::parse_list(&text);
    }
}
