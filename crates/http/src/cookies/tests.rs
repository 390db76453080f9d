use proptest::prelude::*;

use super::*;

fn url(text: &str) -> Url {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What is sent to `to` after `from` has set a cookie.
fn sent(from: &str, set_cookie: &str, to: &str) -> Option<String> {
    let jar = Jar::new();
    jar.set(&url(from), set_cookie);
    jar.header(&url(to)).map(|value| value.to_str().unwrap().to_owned())
}

fn is_sent(from: &str, set_cookie: &str, to: &str) -> bool {
    sent(from, set_cookie, to).is_some()
}

/// RFC 6265 section 3.1.
#[test]
fn the_examples_of_the_rfc() {
    let site = url("https://www.example.com/");
    let jar = Jar::new();
    assert!(jar.set(&site, "SID=31d4d96e407aad42; Path=/; Secure; HttpOnly"));
    assert!(jar.set(&site, "lang=en-US; Path=/; Domain=example.com"));
    let header = jar.header(&site).unwrap();
    assert_eq!(header, "SID=31d4d96e407aad42; lang=en-US");
    assert!(header.is_sensitive());
    assert_eq!(jar.header(&url("https://example.com/")).unwrap(), "lang=en-US");
    jar.set(&site, "lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Domain=example.com; Path=/");
    assert_eq!(jar.header(&site).unwrap(), "SID=31d4d96e407aad42");
    assert_eq!(jar.len(), 1);
}

#[test]
fn domains() {
    const A: &str = "http://a.example.com/";
    assert!(is_sent(A, "n=v", A));
    assert!(!is_sent(A, "n=v", "http://b.a.example.com/"));
    assert!(!is_sent(A, "n=v", "http://example.com/"));
    assert!(is_sent(A, "n=v; Domain=example.com", "http://b.example.com/"));
    assert!(is_sent(A, "n=v; Domain=.EXAMPLE.com", "http://example.com/"));
    assert!(!is_sent(A, "n=v; Domain=example.com", "http://badexample.com/"));
    assert!(!is_sent(A, "n=v; Domain=b.example.com", "http://b.example.com/"));
    assert!(!is_sent(A, "n=v; Domain=b.a.example.com", A));
    assert!(is_sent("http://10.0.0.1/", "n=v; Domain=10.0.0.1", "http://10.0.0.1:81/"));
    assert!(!is_sent("http://1.10.0.0.1.example/", "n=v; Domain=0.0.1", "http://10.0.0.1/"));
    assert!(is_sent("http://[::1]/", "n=v", "http://[::1]:8080/"));
    assert!(is_sent(
        "http://bücher.example/",
        "n=v; Domain=bücher.example",
        "http://x.bücher.example/"
    ));
}

#[test]
fn public_suffixes() {
    assert!(!is_sent("http://a.co.uk/", "n=v; Domain=co.uk", "http://a.co.uk/"));
    assert!(!is_sent("http://a.com/", "n=v; Domain=com", "http://a.com/"));
    assert!(!is_sent("http://a.github.io/", "n=v; Domain=github.io", "http://a.github.io/"));
    assert!(is_sent("http://github.io/", "n=v; Domain=github.io", "http://github.io/"));
    assert!(!is_sent("http://github.io/", "n=v; Domain=github.io", "http://a.github.io/"));
    assert!(is_sent("http://a.co.uk/", "n=v; Domain=a.co.uk", "http://b.a.co.uk/"));
    assert!(is_sent("http://localhost/", "n=v; Domain=localhost", "http://localhost/"));
}

/// RFC 6265 section 5.1.4.
#[test]
fn paths() {
    let path = |from: &str, cookie: &str, to: &str| {
        is_sent(&format!("http://a/{from}"), cookie, &format!("http://a/{to}"))
    };
    assert!(path("x/y", "n=v", "x/z"));
    assert!(path("x/y", "n=v", "x"));
    assert!(!path("x/y", "n=v", "xz"));
    assert!(!path("x/y", "n=v", ""));
    assert!(path("x", "n=v; Path=/y", "y/z?q"));
    assert!(!path("x", "n=v; Path=/y", "yz"));
    assert!(path("x/y", "n=v; Path=y", "x/"));
}

#[test]
fn longer_paths_and_older_cookies_come_first() {
    let site = url("http://a/x/y");
    let jar = Jar::new();
    for cookie in ["1=a; Path=/", "2=b; Path=/x/y", "3=c; Path=/x", "4=d; Path=/", "1=e; Path=/"] {
        assert!(jar.set(&site, cookie));
    }
    assert_eq!(jar.header(&site).unwrap(), "2=b; 3=c; 1=e; 4=d");
}

#[test]
fn secure_cookies_need_tls_or_this_machine() {
    assert!(is_sent("https://a/", "n=v; Secure", "https://a/"));
    assert!(!is_sent("https://a/", "n=v; Secure", "http://a/"));
    assert!(!is_sent("http://a/", "n=v; Secure", "https://a/"));
    assert!(is_sent("http://127.0.0.1/", "n=v; Secure", "http://127.0.0.1:1/"));
    assert!(is_sent("http://a.localhost/", "n=v; Secure", "http://a.localhost/"));
}

#[test]
fn a_secure_cookie_is_not_shadowed_from_without() {
    let jar = Jar::new();
    assert!(jar.set(&url("https://a.example.com/"), "n=good; Secure; Path=/login"));
    let insecure = url("http://a.example.com/login/x");
    for cookie in ["n=bad", "n=bad; Path=/login", "n=bad; Domain=example.com; Path=/login/en"] {
        assert!(!jar.set(&insecure, cookie), "{cookie}");
    }
    assert!(jar.set(&insecure, "n=other; Path=/"));
    assert!(jar.set(&insecure, "m=other; Path=/login"));
    assert!(jar.set(&url("https://a.example.com/"), "n=new; Path=/login"));
}

#[test]
fn prefixes_keep_their_promise() {
    let kept = |from: &str, cookie: &str| Jar::new().set(&url(from), cookie);
    assert!(kept("https://a.example/", "__Secure-n=v; Secure; Domain=a.example"));
    assert!(!kept("https://a.example/", "__Secure-n=v"));
    assert!(!kept("http://a.example/", "__secure-n=v; Secure"));
    assert!(kept("https://a.example/", "__Host-n=v; Secure; Path=/"));
    assert!(!kept("https://a.example/", "__Host-n=v; Secure"));
    assert!(!kept("https://a.example/", "__HOST-n=v; Path=/"));
    assert!(!kept("https://a.example/", "__Host-n=v; Secure; Path=/; Domain=a.example"));
}

#[test]
fn max_age_goes_before_expires_and_neither_lasts_for_ever() {
    const PAST: &str = "Expires=Sun, 06 Nov 1994 08:49:37 GMT";
    assert!(is_sent("http://a/", &format!("n=v; Max-Age=60; {PAST}"), "http://a/"));
    assert!(!is_sent(
        "http://a/",
        "n=v; Max-Age=0; Expires=Fri, 31 Dec 2999 23:59:59 GMT",
        "http://a/"
    ));
    assert!(!is_sent("http://a/", &format!("n=v; {PAST}"), "http://a/"));
    let now = SystemTime::UNIX_EPOCH + AGE_MAX;
    let latest = time::OffsetDateTime::from(now) + AGE_MAX;
    let read = |text: &str| read(text, &url("http://a/"), now).unwrap();
    assert_eq!(read("n=v; Max-Age=99999999999999999999").max_age().unwrap(), AGE_MAX);
    let far = read("n=v; Expires=Fri, 31 Dec 2999 23:59:59 GMT");
    assert_eq!(far.expires_datetime(), Some(latest));
    assert_eq!(read("n=v; Max-Age=60").max_age(), Some(time::Duration::MINUTE));
}

#[test]
fn malformed_and_oversized_cookies_are_left_out() {
    for cookie in ["", "novalue", "=v", "n=\u{1}v", "n=v\0; Path=/"] {
        assert!(!Jar::new().set(&url("http://a/"), cookie), "{cookie}");
    }
    let long = |length: usize| "v".repeat(length);
    let kept = |cookie: &str| Jar::new().set(&url("http://a/"), cookie);
    assert!(kept(&format!("n={}", long(PAIR_MAX - 1))));
    assert!(!kept(&format!("n={}", long(PAIR_MAX))));
    // Only the attribute is left out: the path is that of the request.
    let path = format!("n=v; Path=/{}", long(ATTRIBUTE_MAX));
    assert_eq!(sent("http://a/", &path, "http://a/").as_deref(), Some("n=v"));
}

#[test]
fn the_number_is_bounded_for_each_domain_and_for_all() {
    let jar = Jar::new();
    let site = url("http://a.example/");
    for number in 0..DOMAIN_MAX {
        assert!(jar.set(&site, &format!("n{number}=v; Path=/{}", number % 3)));
    }
    // What has expired goes before what has not.
    assert!(jar.set(&site, "n100=; Max-Age=0; Path=/1"));
    jar.set(&site, "first=v");
    assert_eq!(jar.len(), DOMAIN_MAX);
    assert!(jar.header(&url("http://a.example/0")).unwrap().to_str().unwrap().contains("n0=v"));
    jar.set(&site, "second=v");
    assert_eq!(jar.len(), DOMAIN_MAX);
    for number in 0..10 {
        jar.set(&url(&format!("http://h{number}.example/")), "n=v");
    }
    evict(&mut jar.store(), 10, |_| true);
    assert_eq!(jar.len(), 10);
    assert!(jar.header(&site).is_none());
}

#[test]
fn what_is_saved_is_loaded() {
    let jar = Jar::new();
    let site = url("https://www.example.com/a/b");
    for cookie in ["1=a", "2=b; Domain=example.com; Path=/; Secure; HttpOnly", "3=c; Max-Age=60"] {
        assert!(jar.set(&site, cookie));
    }
    jar.set(&site, "3=c; Max-Age=0");
    let loaded = Jar::from_json(&jar.to_json().unwrap()).unwrap();
    assert_eq!(loaded.len(), 2);
    assert_eq!(loaded.header(&site), jar.header(&site));
    assert!(loaded.header(&url("http://example.com/")).is_none());
    let error = Jar::from_json(&serde_json::json!([{ "name": 1 }])).unwrap_err();
    assert_eq!(error.kind(), Kind::Read);
}

#[test]
fn a_response_sets_several_and_clones_share_them() {
    let jar = Jar::new();
    let mut headers = HeaderMap::new();
    for value in [&b"a=1"[..], b"b=2", b"c=\xff"] {
        headers.append(header::SET_COOKIE, HeaderValue::from_bytes(value).unwrap());
    }
    jar.clone().receive(&url("http://a/"), &headers);
    assert_eq!(jar.header(&url("http://a/")).unwrap(), "a=1; b=2");
    jar.clear();
    assert!(jar.is_empty() && jar.header(&url("http://a/")).is_none());
    assert!(!jar.set(&url("ftp://a/"), "a=1"));
}

proptest! {
    #[test]
    fn only_matching_hosts_are_told(
        set_cookie in "\\PC{0,30}(; (Domain|Path|Secure|Max-Age|Expires)(=\\PC{0,12})?){0,3}",
    ) {
        let jar = Jar::new();
        let site = url("http://a.example.com/x/y");
        if jar.set(&site, &set_cookie) {
            prop_assert!(jar.header(&url("http://a.example.org/x/y")).is_none());
            prop_assert_eq!(Jar::from_json(&jar.to_json().unwrap()).unwrap().len(), jar.len());
        }
    }
}
