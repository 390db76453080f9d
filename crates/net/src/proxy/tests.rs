use std::time::Duration;

use portolan_core::{Error, Timeouts};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::connect::{HEAD_MAX, HeadError, Status, parse_head};
use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn target(text: &str) -> Endpoint {
    url(&format!("tcp://{text}")).endpoint()
}

/// What a proxy gets to read, and what it answers, in turn.
type Script<'a> = &'a [(&'a [u8], &'a [u8])];

/// Plays the proxy, closing at the end unless the tunnel stands; gives back its end.
async fn play(mut peer: DuplexStream, script: Script<'_>) -> DuplexStream {
    for (wanted, answer) in script {
        let mut got = vec![0; wanted.len()];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, wanted, "{}", String::from_utf8_lossy(&got));
        peer.write_all(answer).await.unwrap();
    }
    peer
}

async fn ask(proxy: &str, to: &str, script: Script<'_>) -> (Result<Stream, Error>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let cx = Context::new(Timeouts::default());
    let (proxy, to) = (url(proxy), target(to));
    tokio::join!(tunnel(Stream::boxed(near), &proxy, &to, &cx), play(far, script))
}

async fn error(proxy: &str, script: Script<'_>) -> Error {
    let (near, far) = tokio::io::duplex(1 << 16);
    let cx = Context::new(Timeouts::default());
    let (proxy, to) = (url(proxy), target("db.test:5432"));
    let close = async { drop(play(far, script).await) };
    let (asked, ()) = tokio::join!(tunnel(Stream::boxed(near), &proxy, &to, &cx), close);
    let error = asked.unwrap_err();
    assert_eq!(error.phase(), Some(Phase::PROXY));
    let message = format!("could not reach db.test:5432 through the proxy {proxy}");
    assert_eq!(error.to_string(), message);
    error
}

/// Bytes pass both ways.
async fn assert_open(tunnel: Result<Stream, Error>, mut peer: DuplexStream) {
    let mut stream = tunnel.unwrap();
    let mut word = [0; 4];
    stream.write_all(b"ping").await.unwrap();
    peer.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    peer.write_all(b"pong").await.unwrap();
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"pong");
}

mod http {
    use super::*;

    const ASK: &[u8] = b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n";

    #[tokio::test]
    async fn a_tunnel_is_made() {
        let script: Script =
            &[(ASK, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Yes\r\nA: b\r\n\r\n")];
        let (asked, peer) = ask("http://proxy.test:3128", "db.test:5432", script).await;
        assert_open(asked, peer).await;
    }

    #[tokio::test]
    async fn the_targets_first_words_are_kept() {
        let script: Script = &[(ASK, b"HTTP/1.1 200 OK\r\n\r\n220 ready\r\n")];
        let (asked, peer) = ask("http://proxy.test:3128", "db.test:5432", script).await;
        let mut stream = asked.unwrap();
        let mut greeting = [0; 11];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"220 ready\r\n");
        assert_open(Ok(stream), peer).await;
    }

    #[tokio::test]
    async fn the_login_and_a_bracketed_address_without_zone_are_sent() {
        let script: Script = &[(
            b"CONNECT [fe80::1]:80 HTTP/1.1\r\nHost: [fe80::1]:80\r\n\
              Proxy-Authorization: Basic dXM6ZTpy\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        )];
        let (asked, peer) = ask("http://us:e%3Ar@p:1", "[fe80::1%25eth0]:80", script).await;
        assert_eq!(url("http://us:e%3Ar@p:1").password(), Some("e:r"));
        assert_open(asked, peer).await;
    }

    #[tokio::test]
    async fn refusals_are_told_apart() {
        let refused = |answer: &'static [u8]| async move {
            error("http://proxy.test:3128", &[(ASK, answer)]).await
        };
        let login = refused(b"HTTP/1.1 407 Nope\r\nProxy-Authenticate: Basic\r\n\r\n").await;
        assert_eq!(login.kind(), Kind::Denied);
        let hint = "put a user name and a password into the proxy's URL, before the host";
        assert_eq!(login.hint(), Some(hint));
        assert_eq!(refused(b"HTTP/1.0 401 Nope\r\n\r\n").await.hint(), Some(hint));

        let gateway = refused(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>").await;
        assert_eq!(gateway.kind(), Kind::Connect);
        assert!(format!("{gateway:#}").ends_with(": the proxy answered 502 Bad Gateway"));

        let forbidden = refused(b"HTTP/1.1 403 \r\n\r\n").await;
        assert_eq!(forbidden.kind(), Kind::Denied);
        assert!(format!("{forbidden:#}").ends_with(": the proxy answered 403"));

        let rubbish = refused(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        assert_eq!(rubbish.kind(), Kind::Protocol);
        assert_eq!(rubbish.hint(), Some("check that proxy.test:3128 is a proxy for http:"));

        let closed = refused(b"HTTP/1.1 200 OK\r\n").await;
        assert_eq!(closed.kind(), Kind::Lost);
        assert!(format!("{closed:#}").ends_with(": the proxy closed the connection"));
    }

    #[tokio::test]
    async fn a_wrong_login_is_not_printed() {
        let ask = b"CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\
                    Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n";
        let script: Script = &[(ask, b"HTTP/1.1 407 Nope\r\n\r\n")];
        let error = error("http://user:secret@proxy.test:3128", script).await;
        assert_eq!(error.hint(), Some("check the user name and password in the proxy's URL"));
        assert!(!format!("{error:#} {error:?}").contains("secret"));
    }

    #[tokio::test]
    async fn an_endless_head_ends() {
        for endless in [b"A: b\r\n".repeat(HEAD_MAX), [b"A: ", &*b"b".repeat(HEAD_MAX)].concat()] {
            let answer = [b"HTTP/1.1 200 OK\r\n", &*endless].concat();
            let (near, mut far) = tokio::io::duplex(1024);
            let (proxy, cx) = (url("http://p:1"), Context::new(Timeouts::default()));
            let to = target("db.test:5432");
            let (asked, sent) =
                tokio::join!(tunnel(Stream::boxed(near), &proxy, &to, &cx), far.write_all(&answer));
            let error = asked.unwrap_err();
            assert_eq!(error.kind(), Kind::Protocol);
            assert!(matches!(error.find(), Some(ProxyError::Head(HeadError::TooLong))));
            assert!(sent.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_proxy_times_out() {
        for proxy in ["http://u:secret@proxy.test:3128", "socks5h://proxy.test:3128"] {
            let (near, _far) = tokio::io::duplex(1024);
            let operation = Some(Duration::from_secs(5));
            let cx = Context::new(Timeouts { operation, ..Timeouts::default() });
            let proxy = url(proxy);
            let asked = tunnel(Stream::boxed(near), &proxy, &target("db.test:5432"), &cx).await;
            let error = asked.unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(Phase::PROXY)));
            let words = format!(
                "could not reach db.test:5432 through the proxy {proxy}: timed out after 5 s"
            );
            assert_eq!(format!("{error:#}"), words);
        }
    }

    proptest! {
        #[test]
        fn a_head_is_read_wherever_it_is_cut(
            code in 100..1000_u16,
            reason in "[!-~][ -~]{0,20}",
            fields in prop::collection::vec("[A-Za-z]{1,9}: [!-~]{0,9}\r\n", 0..9),
            rest in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let head = format!("HTTP/1.1 {code} {reason}\r\n{}\r\n", fields.concat());
            let bytes = [head.as_bytes(), &rest].concat();
            for end in 0..head.len() {
                prop_assert_eq!(parse_head(&bytes[..end]), Ok(None));
            }
            let parsed = parse_head(&bytes).unwrap().unwrap();
            prop_assert_eq!(parsed.length, head.len());
            prop_assert_eq!(parsed.status, Status { code, reason });
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for bytes in [bytes.clone(), [b"HTTP/1.1 200 OK\r\n", &*bytes].concat()] {
                if let Ok(Some(head)) = parse_head(&bytes) {
                    prop_assert!(head.length <= bytes.len());
                }
            }
        }
    }
}

mod socks {
    use super::*;

    const HELLO: &[u8] = &[5, 1, 0];
    const HELLO_WITH_LOGIN: &[u8] = &[5, 2, 0, 2];
    const ASK: &[u8] = b"\x05\x01\x00\x03\x07db.test\x15\x38";
    const DONE: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn a_name_is_passed_on() {
        let script: Script = &[(HELLO, &[5, 0]), (ASK, DONE)];
        let (asked, peer) = ask("socks5h://proxy.test", "db.test:5432", script).await;
        assert_open(asked, peer).await;
    }

    #[tokio::test]
    async fn addresses_are_sent_as_such_and_every_kind_of_bound_address_is_skipped() {
        let v4: &[u8] = &[5, 1, 0, 1, 127, 0, 0, 1, 0, 80];
        let v6 = [&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 80]].concat();
        let bound_v6 = [&[5, 0, 0, 4][..], &[9; 18]].concat();
        let bound_name = [&[5, 0, 0, 3, 255][..], &[b'x'; 255], &[0, 1]].concat();
        for (to, wanted, answer) in
            [("127.0.0.1:80", v4, &bound_v6), ("[::1%25lo]:80", &*v6, &bound_name)]
        {
            let script: Script = &[(HELLO, &[5, 0]), (wanted, answer)];
            let (asked, peer) = ask("socks5://proxy.test", to, script).await;
            assert_open(asked, peer).await;
        }
    }

    #[tokio::test]
    async fn the_login_is_sent_where_it_is_wanted() {
        let login: &[u8] = b"\x01\x03you\x06se:ret";
        let script: Script = &[(HELLO_WITH_LOGIN, &[5, 2]), (login, &[1, 0]), (ASK, DONE)];
        let (asked, peer) = ask("socks5h://you:se%3Aret@p", "db.test:5432", script).await;
        assert_open(asked, peer).await;

        let script: Script = &[(HELLO_WITH_LOGIN, &[5, 0]), (ASK, DONE)];
        let (asked, peer) = ask("socks5h://you:se%3Aret@p", "db.test:5432", script).await;
        assert_open(asked, peer).await;

        let script: Script = &[(HELLO_WITH_LOGIN, &[5, 2]), (login, &[1, 1])];
        let wrong = error("socks5h://you:se%3Aret@p", script).await;
        assert_eq!(wrong.kind(), Kind::Denied);
        assert!(matches!(wrong.find(), Some(ProxyError::Login)));
        assert!(!format!("{wrong:#} {wrong:?}").contains("you"), "{wrong:?}");
    }

    #[tokio::test]
    async fn a_login_that_is_missing_is_asked_for() {
        for method in [0xFF, 2, 1] {
            let script: Script = &[(HELLO, &[5, method])];
            let (asked, _peer) = ask("socks5h://proxy.test", "db.test:5432", script).await;
            let error = asked.unwrap_err();
            assert_eq!(error.kind(), Kind::Denied);
            let hint = "put a user name and a password into the proxy's URL, before the host";
            assert_eq!(error.hint(), Some(hint));
        }
    }

    #[tokio::test]
    async fn a_login_that_does_not_fit_is_not_cut() {
        let long = format!("socks5://u:{}@proxy.test", "p".repeat(256));
        for proxy in [&*long, "socks5://:p@proxy.test"] {
            assert_eq!(error(proxy, &[]).await.kind(), Kind::Usage);
        }
    }

    #[tokio::test]
    async fn every_reply_has_its_kind() {
        for code in 1..=255 {
            let answer = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
            let error = error("socks5h://p", &[(HELLO, &[5, 0]), (ASK, &answer)]).await;
            let expected = match code {
                1 | 3..=6 => Kind::Connect,
                2 | 7 | 8 => Kind::Denied,
                _ => Kind::Protocol,
            };
            assert_eq!(error.kind(), expected, "{code}");
            assert!(matches!(error.find(), Some(ProxyError::Reply(_))));
        }
    }

    #[tokio::test]
    async fn causes_are_in_words() {
        let answer = [5, 5, 0, 1, 0, 0, 0, 0, 0, 0];
        let script: Script = &[(HELLO_WITH_LOGIN, &[5, 0]), (ASK, &answer)];
        let refused = error("socks5h://u:p@p", script).await;
        assert_eq!(
            format!("{refused:#}"),
            "could not reach db.test:5432 through the proxy socks5h://***@p: \
             the proxy answered 'connection refused'"
        );
        let rubbish = error("socks5h://p", &[(HELLO, b"HTTP/1.1 400 Bad Request\r\n\r\n")]).await;
        assert_eq!(rubbish.kind(), Kind::Protocol);
        assert_eq!(rubbish.hint(), Some("check that p is a proxy for socks5h:"));
        for script in [&[(HELLO, &b""[..])][..], &[(HELLO, &[5, 0]), (ASK, &[5, 0, 0, 3])]] {
            let closed = error("socks5h://p", script).await;
            assert_eq!(closed.kind(), Kind::Lost);
            assert!(format!("{closed:#}").ends_with(": the proxy closed the connection"));
        }
    }

    proptest! {
        #[test]
        fn any_answer_ends_in_a_tunnel_or_an_error(
            greeting in prop_oneof![Just(vec![5, 0]), prop::collection::vec(any::<u8>(), 0..4)],
            answer in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (near, mut far) = tokio::io::duplex(1 << 10);
                far.write_all(&[greeting, answer].concat()).await.unwrap();
                far.shutdown().await.unwrap();
                let (proxy, to) = (url("socks5://u:p@p"), target("h:1"));
                let _ = socks5::tunnel(Stream::boxed(near), &proxy, &to).await;
            });
        }
    }
}

mod choice {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Proxies, Error> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Proxies::from_env(|name| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })
    }

    /// The proxy's host for a URL, or `-`.
    fn chosen(proxies: &Proxies, to: &str) -> String {
        proxies.for_url(&url(to)).map_or_else(|| "-".to_owned(), |proxy| proxy.host().to_string())
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        for (variables, to, expected) in [
            (&[("http_proxy", "a")][..], "http://h", "a"),
            (&[("http_proxy", "a")], "https://h", "-"),
            (&[("HTTP_PROXY", "a")], "http://h", "-"),
            (&[("HTTP_PROXY", "a"), ("ALL_PROXY", "b")], "http://h", "b"),
            (&[("HTTPS_PROXY", "a")], "https://h", "a"),
            (&[("HTTPS_PROXY", "a"), ("https_proxy", "b")], "https://h", "b"),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "b")], "https://h", "b"),
            (&[("https_proxy", "a"), ("all_proxy", "b")], "https://h", "a"),
            (&[("https_proxy", "a"), ("all_proxy", "b")], "tcp://h:1", "b"),
            (&[("http_proxy", "a"), ("https_proxy", "b")], "wss://h", "b"),
            (&[("http_proxy", "a"), ("ws_proxy", "b")], "ws://h", "b"),
            (&[("https_proxy", "a")], "https+dns://h/dns-query", "a"),
            (&[("all_proxy", "a")], "udp://h:1", "-"),
            (&[("all_proxy", "a")], "unix:/run/x", "-"),
            (&[("all_proxy", "a")], "http://127.0.0.1", "a"),
            (&[("all_proxy", "a"), ("NO_PROXY", "h")], "http://h", "-"),
            (&[("all_proxy", "a"), ("NO_PROXY", "h"), ("no_proxy", "x")], "http://h", "a"),
        ] {
            assert_eq!(chosen(&from(variables).unwrap(), to), expected, "{variables:?} {to}");
        }
        let proxies = from(&[("all_proxy", "socks5h://a"), ("https_proxy", "b:3128")]).unwrap();
        assert_eq!(proxies.for_url(&url("https://h")), Some(&url("http://b:3128")));
        assert_eq!(proxies.for_endpoint(&target("h:1")), Some(&url("socks5h://a")));
        assert_eq!(proxies.for_endpoint(&Endpoint::unix("/run/x")), None);
    }

    #[test]
    fn an_unusable_value_names_its_variable_and_no_secret() {
        for value in ["ftp://u:secret@h", "u:secret@h:x", "http://u:my secret@h:x"] {
            let error = from(&[("ALL_PROXY", value)]).unwrap_err();
            let words = "could not use ALL_PROXY as a proxy";
            assert_eq!((error.kind(), &*error.to_string()), (Kind::Usage, words));
            assert!(!format!("{error:#} {error:?}").contains("secret"));
        }
        let error = Proxies::all(url("tcp://h:1")).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "could not use tcp://h:1 as a proxy: \
             a proxy's scheme is http, https, socks5 or socks5h, not tcp"
        );
    }

    #[test]
    fn exceptions() {
        for (list, to, is_exempt) in [
            ("*", "http://any", true),
            ("", "http://any", false),
            ("example.com", "http://example.com", true),
            ("example.com", "http://www.EXAMPLE.com", true),
            ("example.com", "http://example.com./", true),
            (".Example.com.", "http://www.example.com", true),
            (".example.com", "http://example.com", true),
            ("example.com", "http://badexample.com", false),
            ("www.example.com", "http://example.com", false),
            ("a b,c ,\td", "http://d", true),
            ("a,,b", "http://c", false),
            (".", "http://a", false),
            ("example.com:8080", "http://example.com:8080", true),
            ("example.com:80", "https://example.com", false),
            ("example.com:x", "http://example.com", false),
            ("127.0.0.1", "http://127.0.0.1:8080", true),
            ("127.0.0.1:80", "http://127.0.0.1:8080", false),
            ("7.0.0.1", "http://127.0.0.1", false),
            ("10.0.0.0/8", "http://10.255.0.1", true),
            ("10.1.2.3/8", "http://10.255.0.1", true),
            ("10.0.0.0/8", "http://11.0.0.1", false),
            ("10.0.0.0/99", "http://10.0.0.1", false),
            ("::1", "http://[::1]:8080", true),
            ("[::1]", "http://[::1]", true),
            ("[::1]:80", "http://[::1]", true),
            ("[::1]:81", "http://[::1]", false),
            ("fe80::/10", "http://[fe80::1%25eth0]", true),
            ("fe80::/10", "http://[fec0::1]", false),
            ("localhost", "http://127.0.0.1", false),
        ] {
            let proxies = Proxies::all(url("http://proxy.test")).unwrap().with_no_proxy(list);
            assert_eq!(chosen(&proxies, to) == "-", is_exempt, "{list:?} {to}");
        }
    }

    #[test]
    fn a_later_list_takes_the_place_of_an_earlier_one() {
        let proxies = from(&[("all_proxy", "a"), ("no_proxy", "h")]).unwrap();
        assert_eq!(chosen(&proxies.with_no_proxy("x"), "http://h"), "a");
        assert_eq!(chosen(&Proxies::none(), "http://h"), "-");
    }

    proptest! {
        #[test]
        fn a_name_covers_itself_and_what_is_below(
            name in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}",
            below in "[a-z]{1,5}",
            dot in "\\.?",
        ) {
            let all = Proxies::all(url("http://proxy.test")).unwrap();
            let proxies = all.with_no_proxy(&format!("{dot}{name}"));
            prop_assert_eq!(chosen(&proxies, &format!("http://{name}")), "-");
            prop_assert_eq!(chosen(&proxies, &format!("http://{below}.{name}")), "-");
            prop_assert_eq!(chosen(&proxies, &format!("http://{below}{name}")), "proxy.test");
        }

        #[test]
        fn a_network_covers_its_addresses(address: std::net::Ipv4Addr, bits in 1..=32_u32, bit in 0..32_u32) {
            let all = Proxies::all(url("http://proxy.test")).unwrap();
            let proxies = all.with_no_proxy(&format!("{address}/{bits}"));
            let other = std::net::Ipv4Addr::from(u32::from(address) ^ (1 << bit));
            let is_inside = bit < 32 - bits;
            prop_assert_eq!(chosen(&proxies, &format!("http://{other}")) == "-", is_inside);
        }

        #[test]
        fn any_list_is_read(list in "\\PC{0,40}") {
            let all = Proxies::all(url("http://proxy.test")).unwrap();
            let proxies = all.with_no_proxy(&list);
            prop_assert_eq!(chosen(&proxies, "unix:/x"), "-");
        }
    }
}
