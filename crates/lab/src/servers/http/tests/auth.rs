//! Authentication and cookies.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use digest_auth::{AuthContext, HttpMethod};
use proptest::prelude::*;
use serde_json::json;

use super::super::cookies::{quote, unquote};
use super::{Answer, get, get_with};

#[tokio::test]
async fn basic_and_bearer() {
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (path, refusal) in [("/basic-auth/u/p%20q", 401), ("/hidden-basic-auth/u/p%20q", 404)] {
        assert_eq!(get(path).await.status, refusal);
        for wrong in [basic("u:p"), basic("u:p q "), "Basic !".into(), "Bearer x".into()] {
            assert_eq!(
                get_with(path, &[("authorization", &wrong)]).await.status,
                refusal,
                "{wrong}"
            );
        }
        let told = get_with(path, &[("authorization", &basic("u:p q"))]).await.json();
        assert_eq!(told, json!({ "authenticated": true, "user": "u" }));
    }
    assert_eq!(
        get("/basic-auth/u/p").await.header("www-authenticate"),
        "Basic realm=\"Fake Realm\""
    );
    assert_eq!(get("/bearer").await.header("www-authenticate"), "Bearer");
    let told = get_with("/bearer", &[("authorization", "Bearer Bear.er")]).await.json();
    assert_eq!(told, json!({ "authenticated": true, "token": "Bear.er" }));
}

/// What a client of another hand answers to a challenge.
fn respond(challenge: &Answer, target: &str, password: &str) -> String {
    let secrets =
        AuthContext::new_with_method("u", password, target, Some(&b""[..]), HttpMethod::GET);
    let mut prompt = digest_auth::parse(challenge.header("www-authenticate")).unwrap();
    prompt.respond(&secrets).unwrap().to_string()
}

#[tokio::test]
async fn digests_admit_who_knows_the_password() {
    for algorithm in ["MD5", "SHA-256", "SHA-512-256"] {
        for (qop, session) in [("auth", ""), ("auth-int", ""), ("auth", "-sess"), ("any", "-sess")]
        {
            let target = format!("/digest-auth/{qop}/u/p,%22/{algorithm}{session}?a=,b");
            let challenge = get(&target).await;
            assert_eq!(challenge.status, 401);
            let right = respond(&challenge, &target, "p,\"");
            let answer = get_with(&target, &[("authorization", &right)]).await;
            assert_eq!(answer.status, 200, "{target}: {right}");
            assert_eq!(answer.json(), json!({ "authenticated": true, "user": "u" }));
            let wrong = [
                respond(&challenge, &target, "q"),
                respond(&challenge, "/digest-auth/", "p,\""),
                right.replace("username=\"u\"", "username=\"v\""),
                right.replace("nonce=\"", "nonce=\"0"),
                right.replace("qop=", "other="),
            ];
            for wrong in wrong {
                let answer = get_with(&target, &[("authorization", &wrong)]).await;
                assert_eq!(answer.status, 401, "{target}: {wrong}");
            }
        }
    }
    let challenge = get("/digest-auth/auth/u/p/SHA-512").await;
    assert!(challenge.header("www-authenticate").contains("algorithm=SHA-512, "));
}

#[tokio::test]
async fn digests_go_stale_and_want_cookies() {
    let target = "/digest-auth/auth/u/p/MD5/1?require-cookie=1";
    let challenge = get(target).await;
    assert_eq!(challenge.cookies(), ["stale_after=1; Path=/", "fake=fake_value; Path=/"]);
    let right = respond(&challenge, target, "p");
    let with = async |cookies: &str| {
        get_with(target, &[("authorization", &right), ("cookie", cookies)]).await
    };
    assert_eq!(get_with(target, &[("authorization", &right)]).await.status, 401);
    assert_eq!(with("a=b").await.status, 403);
    let answer = with("fake=fake_value; stale_after=1").await;
    assert_eq!((answer.status, answer.cookies()[0]), (200, "stale_after=0; Path=/"));
    let stale = with("fake=fake_value; stale_after=0").await;
    assert_eq!(stale.status, 401);
    assert!(stale.header("www-authenticate").ends_with("stale=true"));
    // A nonce that was refused once is refused as stale from then on.
    let nonce = stale.cookies()[1].split(';').next().unwrap();
    assert!(nonce.starts_with("last_nonce="), "{nonce}");
    let again = with(&format!("fake=fake_value; {nonce}")).await;
    assert!(again.header("www-authenticate").ends_with("stale=true"));
}

#[tokio::test]
async fn cookies_are_told_set_and_deleted() {
    let cookies = [("cookie", r#"a="b c"; d="e\073\"f"; a=2; z"#)];
    let told = get_with("/cookies", &cookies).await.json();
    assert_eq!(told, json!({ "cookies": { "a": "b c", "d": "e;\"f", "z": "" } }));
    let set = get("/cookies/set?a=b%20c&d=e%3B%22f&u=%C3%A9&p=q").await;
    let wanted =
        ["a=\"b c\"; Path=/", r#"d="e\073\"f"; Path=/"#, r#"u="\303\251"; Path=/"#, "p=q; Path=/"];
    assert_eq!((set.status, set.header("location")), (302, "/cookies"));
    assert_eq!(set.cookies(), wanted);
    assert_eq!(get("/cookies/set/n/v").await.cookies(), ["n=v; Path=/"]);
    let gone = get("/cookies/delete?a").await;
    assert_eq!(gone.cookies(), ["a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"]);
    for name in ["", "a%3B", "a%0D%0Ab", "%C3%A9"] {
        assert_eq!(get(&format!("/cookies/set?{name}=v")).await.status, 400, "{name}");
    }
}

/// Asks on a runtime of its own, for properties.
fn status_of(target: &str, headers: &[(&str, &str)]) -> StatusCode {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(get_with(target, headers));
    StatusCode::from_u16(answer.status).unwrap()
}

proptest! {
    #[test]
    fn cookies_keep_any_text(text in ".*") {
        let quoted = quote(&text);
        prop_assert!(quoted.is_ascii() && !quoted.contains([';', ',', '\r', '\n']), "{quoted}");
        // Only what was quoted is taken out of quotes.
        prop_assert_eq!(unquote(&quoted), text);
    }

    #[test]
    fn cookies_of_any_form_are_read(text in "[\\x20-\\x7e]*") {
        prop_assert_eq!(status_of("/cookies", &[("cookie", &text)]), 200);
        prop_assert!(unquote(&text).len() <= text.len() * 3);
    }

    #[test]
    fn no_credentials_or_ranges_make_it_fail(text in "[\\x20-\\x7e]*", digits in "[0-9,=-]{0,24}") {
        let credentials = format!("Digest {text}");
        let status = status_of("/digest-auth/auth/u/p", &[("authorization", &credentials)]);
        prop_assert_eq!(status, 401);
        let status = status_of("/range/99", &[("range", &format!("bytes={digits}"))]);
        prop_assert!([200, 206, 416].contains(&status.as_u16()), "{status}");
    }
}
