use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Url {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> UrlError {
    match text.parse::<Url>() {
        Ok(url) => panic!("{text} was read as {url}"),
        Err(error) => error,
    }
}

#[test]
fn every_scheme_has_its_default_port() {
    for scheme in Scheme::ALL {
        if scheme.transport() == Transport::Unix {
            continue;
        }
        let given = parse(&format!("{scheme}://host:7"));
        assert_eq!((given.scheme(), given.port()), (scheme, 7));
        match scheme.default_port() {
            Some(port) => assert_eq!(parse(&format!("{scheme}://host")).port(), port),
            None => {
                assert_eq!(error(&format!("{scheme}://host")), UrlError::MissingPort(scheme));
            }
        }
    }
}

#[test]
fn secrets_are_decoded_and_never_printed() {
    let url = parse("https://us%40er:p%3Ass%2F@example.com/x");
    assert_eq!((url.user(), url.password()), (Some("us@er"), Some("p:ss/")));
    assert_eq!(url.to_string(), "https://***@example.com/x");
    assert_eq!(format!("{url:?}"), "Url(https://***@example.com/x)");
    assert_eq!(url.with_secrets(), "https://us%40er:p%3Ass%2F@example.com/x");
}

#[test]
fn malformed_text_is_redacted() {
    assert_eq!(redact("x 'http://u:p/w@h:99999' y"), "x 'http://***@h:99999' y");
    assert_eq!(redact("'tcp:u:p@h'"), "'tcp:***@h'");
    assert_eq!(redact("--header a@b"), "--header a@b");
    assert_eq!(redact("no 'unix:@lab', https://h/@me"), "no 'unix:@lab', https://h/@me");
    assert_eq!(redact("(https://u:p@h/@me)"), "(https://***@me)");
}

#[test]
fn hosts() {
    assert_eq!(parse("tcp://EXAMPLE.com:1").host(), &Host::Name("example.com".into()));
    assert_eq!(parse("http://münchen.de").to_string(), "http://xn--mnchen-3ya.de/");
    assert_eq!(parse("http://[::1]:80/").to_string(), "http://[::1]/");
    let zone = parse("tcp://[fe80::1%25eth0]:1");
    assert_eq!(zone.host(), &Host::V6("fe80::1".parse().unwrap(), Some("eth0".into())));
    assert_eq!(zone.to_string(), "tcp://[fe80::1%25eth0]:1");
    assert_eq!(parse("tcp://[fe80::1%eth0]:1"), zone);
    assert_eq!(parse("http://１２７.0.0.1/").host().ip(), Some("127.0.0.1".parse().unwrap()));
    assert_eq!(error("tcp://::1"), UrlError::Host(HostError::Unbracketed));
    assert_eq!(error("http://"), UrlError::Host(HostError::Empty));
    for bad in ["http://a b/", "http://a\\b/", "http://[::1", "http://[fe80::1%]/", "http://%ff/"] {
        assert_eq!(error(bad), UrlError::Host(HostError::Invalid), "{bad}");
    }
}

#[test]
fn ports() {
    assert_eq!(parse("tcp:7001").to_string(), "tcp://127.0.0.1:7001");
    assert_eq!(parse("tcp://:7001"), parse("tcp:7001"));
    assert_eq!(parse("tcp:localhost:7001").to_string(), "tcp://localhost:7001");
    for bad in ["tcp://h:", "tcp://h:65536", "tcp://h:x", "tcp://h:-1", "tcp://h:+1"] {
        assert_eq!(error(bad), UrlError::Port, "{bad}");
    }
}

#[test]
fn unix_sockets() {
    let path = parse("unix:/run/a%20b.sock");
    assert_eq!(path.host(), &Host::Path("/run/a b.sock".into()));
    assert_eq!(path.to_string(), "unix:/run/a%20b.sock");
    assert_eq!(parse("unix:///run/a%20b.sock"), path);
    assert_eq!(parse("unix:@lab").host(), &Host::Abstract("lab".into()));
    assert_eq!(parse("unix:%40lab").host(), &Host::Path("@lab".into()));
    for bad in ["unix:", "unix:@", "unix:/a%00b", &format!("unix:/{}", "x".repeat(107))] {
        assert_eq!(error(bad), UrlError::UnixPath, "{bad}");
    }
}

#[test]
fn paths_and_queries() {
    assert_eq!(parse("http://h").path_and_query(), "/");
    assert_eq!(parse("http://h?q=ä b#part").path_and_query(), "/?q=%C3%A4%20b");
    assert_eq!(parse("tcp://h:1/").to_string(), "tcp://h:1");
    assert_eq!(error("tcp://h:1/x"), UrlError::Path(Scheme::Tcp));
    assert_eq!(error("http://h/\r\nx: y"), UrlError::Malformed);
}

#[test]
fn bare_targets_take_the_scheme_of_the_verb() {
    let bare = |text| Url::parse_as(text, Scheme::Https).map(|url| url.to_string());
    assert_eq!(bare("example.com").as_deref(), Ok("https://example.com/"));
    assert_eq!(bare("example.com:8443").as_deref(), Ok("https://example.com:8443/"));
    assert_eq!(bare("tcp:1"), Ok("tcp://127.0.0.1:1".into()));
    assert_eq!(bare("gopher://x"), Err(UrlError::UnknownScheme));
    assert_eq!(error("example.com:80"), UrlError::NoScheme);
    assert_eq!(error(""), UrlError::NoScheme);
}

#[test]
fn a_path_that_begins_with_two_slashes_is_read_back() {
    let url = parse("unix:////run/socket");
    assert_eq!(url.host(), &Host::Path("//run/socket".into()));
    assert_eq!(parse(&url.to_string()), url);
}

#[test]
fn a_name_that_ends_in_a_number_is_no_name() {
    for text in ["http://%31", "http://１.:80", "tcp://300.1.1.1:80", "tcp://1.2.3:80"] {
        assert_eq!(error(text), UrlError::Host(HostError::Invalid), "{text}");
    }
    assert_eq!(parse("http://1.a1").host(), &Host::Name("1.a1".to_owned()));
}

fn any_scheme() -> impl Strategy<Value = Scheme> {
    prop::sample::select(&Scheme::ALL[..])
}

fn any_url() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        "[a-z][a-z0-9]{0,8}(\\.[a-z]{2,5}){0,2}",
        any::<std::net::Ipv4Addr>().prop_map(|a| a.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|a| format!("[{a}]")),
    ];
    let userinfo = prop::option::of(("[!-9;-~äö]{0,6}", prop::option::of("[!-~ü ]{0,6}")));
    (any_scheme(), userinfo, host, any::<u16>(), "(/[!-~ä]{0,12})?").prop_map(
        |(scheme, userinfo, host, port, path)| {
            if scheme == Scheme::Unix {
                return format!("unix:/{}", utf8_percent_encode(&host, USERINFO));
            }
            let userinfo = userinfo.map_or_else(String::new, |(user, password)| {
                let password = password.map(|p| format!(":{}", utf8_percent_encode(&p, USERINFO)));
                let user = utf8_percent_encode(&user, USERINFO);
                format!("{user}{}@", password.unwrap_or_default())
            });
            let path = if scheme.has_path() { path } else { String::new() };
            format!("{scheme}://{userinfo}{host}:{port}{path}")
        },
    )
}

#[test]
fn references_are_redacted_where_they_have_an_authority() {
    for (text, shown) in [
        ("http://ann:secret@intra/", "http://***@intra/"),
        ("http://ann:a/b@intra/?to=c@d", "http://***@d"),
        ("http://ann@c:p@intra?x", "http://***@intra?x"),
        ("x-y+z.1://u:p@h", "x-y+z.1://***@h"),
        ("//u:p@h/a", "//***@h/a"),
        ("http://h:80/?at=12:30&to=a@b", "http://h:80/?at=12:30&to=a@b"),
        ("http://[::1]/@me", "http://[::1]/@me"),
        ("/report?at=12:30&to=a@b", "/report?at=12:30&to=a@b"),
        ("/from?url=http://u:p@h", "/from?url=http://u:p@h"),
        ("mailto:a@b", "mailto:a@b"),
        ("", ""),
    ] {
        assert_eq!(redact_reference(text), shown);
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(text in any_url()) {
        let url = parse(&text);
        prop_assert_eq!(&parse(&url.with_secrets()), &url);
        prop_assert_eq!(parse(&url.with_secrets()).with_secrets(), url.with_secrets());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        let _ = text.parse::<Url>();
        let _ = redact(&text);
        let _ = redact_reference(&text);
    }

    #[test]
    fn a_password_is_never_printed(password in "[a-zA-Z0-9]{8,16}", scheme in any_scheme()) {
        prop_assume!(scheme != Scheme::Unix);
        let url = parse(&format!("{scheme}://user:{password}@host:1"));
        let debug = format!("{url:?}");
        prop_assert!(!url.to_string().contains(&password));
        prop_assert!(!debug.contains(&password));
        prop_assert_eq!(url.password(), Some(&*password));
    }
}
