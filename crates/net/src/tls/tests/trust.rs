use std::time::{Duration as Span, SystemTime};

use rcgen::{ExtendedKeyUsagePurpose, PublicKeyData};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;
use crate::tls::verify::{Trust, Verifier, reason};

#[tokio::test]
async fn a_trusted_certificate_is_described() {
    let ca = Ca::named("Root");
    let (cx, recorder) = context();
    let (dialled, accepted) = shake_seen_by(&cx, &ca.client(), &ca.server(), "a.example").await;
    let (info, seen) = (dialled.unwrap().1, accepted.unwrap().1);
    assert!(info.verified && info.distrust.is_none() && !info.resumed);
    assert_eq!(info.version, Version::Tls13);
    assert!(info.cipher.starts_with("TLS_"), "{}", info.cipher);
    assert_eq!(seen.server_name.as_deref(), Some("a.example"));
    assert!(!seen.verified && seen.chain.is_empty());
    let leaf = &info.chain[0];
    assert_eq!((leaf.subject.as_str(), leaf.issuer.as_str()), ("CN=leaf, O=Example", "CN=Root"));
    assert!(!leaf.self_signed && leaf.for_servers);
    assert_eq!(leaf.sha256.len(), 64);
    assert_eq!(fact(&recorder, "version"), Some("TLSv1.3".into()));
    assert_eq!(fact(&recorder, "cipher"), Some(info.cipher.into()));
    let Some(Value::Record(parts)) = fact(&recorder, "certificate") else { panic!() };
    let keys: Vec<_> = parts.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, ["subject", "issuer", "names", "days_left", "not_before", "not_after"]);
    assert_eq!(parts[2].1, Value::texts(["a.example"]));
}

#[test]
fn days_left_are_whole_and_negative_once_expired() {
    let leaf = Ca::named("Root").leaf(valid(-1, 49)).chain().remove(0);
    let now = SystemTime::now();
    assert_eq!(leaf.days_left(now), 2);
    assert_eq!(leaf.days_left(now + Span::from_secs(50 * 3600)), -1);
}

#[tokio::test]
async fn expired() {
    let ca = Ca::named("Root");
    let server = Server::new(ca.leaf(valid(-100, -73)));
    let (cx, recorder) = context();
    let (dialled, accepted) = shake_seen_by(&cx, &ca.client(), &server, "a.example").await;
    let error = dialled.unwrap_err();
    assert_eq!(error.kind().exit_code(), 60);
    let day = (OffsetDateTime::now_utc() - Duration::hours(73)).date();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "could not trust the certificate of a.example: certificate expired 3 days ago (on {day})"
        )
    );
    assert!(error.hint().unwrap().contains("renew"));
    let Some(Value::Record(parts)) = fact(&recorder, "certificate") else { panic!() };
    assert_eq!(parts[3], ("days_left", Value::Number(-4.0)));
    assert_eq!(
        accepted.unwrap_err().find(),
        Some(&HandshakeError::CertificateRefused("certificate_unknown".into()))
    );
}

#[tokio::test]
async fn an_expired_intermediate_is_named() {
    let root = Ca::named("Root");
    let mut middle = ca_params("Middle");
    middle.not_before = OffsetDateTime::now_utc() - Duration::hours(9);
    middle.not_after = OffsetDateTime::now_utc() - Duration::hours(5);
    let server = Server::new(root.intermediate(middle).leaf(params(&["a.example"])));
    let (error, reason) = distrust(&root.client(), &server, "a.example").await;
    assert!(matches!(reason, Reason::Expired { issuer: Some(_), .. }));
    let words = format!("{error:#}");
    assert!(
        words.contains("certificate of the issuer \"CN=Middle\" expired 5 hours ago"),
        "{words}"
    );
}

#[tokio::test]
async fn not_yet_valid() {
    let ca = Ca::named("Root");
    let server = Server::new(ca.leaf(valid(41 * 24 + 1, 2000)));
    let (error, _) = distrust(&ca.client(), &server, "a.example").await;
    let day = (OffsetDateTime::now_utc() + Duration::hours(41 * 24 + 1)).date();
    let words = format!("certificate is not valid until {day}, in 41 days");
    assert!(format!("{error:#}").ends_with(&words), "{error:#}");
    assert!(error.hint().unwrap().contains("clock"));
}

#[tokio::test]
async fn wrong_host() {
    let ca = Ca::named("Root");
    let server = Server::new(ca.leaf(params(&["a.example", "b.example"])));
    let (error, _) = distrust(&ca.client(), &server, "c.example").await;
    let words = "certificate is for a.example, b.example and not for c.example";
    assert!(format!("{error:#}").ends_with(words), "{error:#}");
    assert!(error.hint().unwrap().contains("--sni"));
}

#[tokio::test]
async fn a_common_name_is_no_host() {
    let ca = Ca::named("Root");
    let server = Server::new(ca.leaf(params(&[])));
    let (error, _) = distrust(&ca.client(), &server, "c.example").await;
    assert!(format!("{error:#}").ends_with("certificate names no host, and so not c.example"));
    assert!(error.hint().unwrap().contains("subjectAltName"));
}

#[test]
fn of_many_names_a_few_are_shown() {
    let names = (0..100).map(|number| format!("n{number}")).collect();
    let reason = Reason::WrongHost { wanted: "x".into(), names };
    assert_eq!(reason.to_string(), "certificate is for n0, n1, n2, n3, 96 more and not for x");
}

#[tokio::test]
async fn another_name_to_verify() {
    let ca = Ca::named("Root");
    let client = ca.client().with_server_name(host("a.example"));
    let (dialled, accepted) = shake(&client, &ca.server(), "127.0.0.1").await;
    assert!(dialled.unwrap().1.verified);
    assert_eq!(accepted.unwrap().1.server_name.as_deref(), Some("a.example"));
}

#[tokio::test]
async fn addresses_are_verified_and_not_sent() {
    let ca = Ca::named("Root");
    let server = Server::new(ca.leaf(params(&["127.0.0.1", "::1"])));
    for name in ["127.0.0.1", "[::1]", "[::1%25lo]"] {
        let (dialled, accepted) = shake(&ca.client(), &server, name).await;
        assert_eq!(dialled.unwrap().1.chain[0].names, ["127.0.0.1", "::1"]);
        assert_eq!(accepted.unwrap().1.server_name, None);
    }
    let (_, reason) = distrust(&ca.client(), &server, "127.0.0.2").await;
    let names = vec!["127.0.0.1".to_owned(), "::1".to_owned()];
    assert_eq!(reason, Reason::WrongHost { wanted: "127.0.0.2".into(), names });
}

#[tokio::test]
async fn a_unix_socket_needs_a_name_to_verify() {
    let ca = Ca::named("Root");
    let (near, _far) = tokio::io::duplex(64);
    let socket = Host::Abstract("socket".into());
    let error = ca.client().connect(Stream::boxed(near), &socket, &context().0).await.unwrap_err();
    assert_eq!(error.kind(), portolan_core::Kind::Usage);
    assert!(error.hint().unwrap().contains("--sni"));
}

#[tokio::test]
async fn self_signed_whatever_the_backend_calls_it() {
    let mut as_ca = params(&["a.example"]);
    as_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // The third has the name of an issuer that is trusted, but not its key.
    let mut as_root = params(&["a.example"]);
    as_root.distinguished_name = ca_params("Root").distinguished_name;
    let client = Ca::named("Root").client();
    for params in [params(&["a.example"]), as_ca, as_root] {
        let (identity, _) = self_signed(&params);
        let (error, reason) = distrust(&client, &Server::new(identity), "a.example").await;
        assert_eq!(reason, Reason::SelfSigned);
        assert!(error.hint().unwrap().contains("--cacert"));
    }
}

#[tokio::test]
async fn a_certificate_can_be_trusted_itself() {
    let mut as_ca = params(&["a.example"]);
    as_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for params in [params(&["a.example"]), as_ca] {
        let (identity, der) = self_signed(&params);
        let (client, server) = (Tls::new().with_ca([der]).unwrap(), Server::new(identity));
        assert!(agree(&client, &server).await.verified);
        let (_, reason) = distrust(&client, &server, "b.example").await;
        assert!(matches!(reason, Reason::WrongHost { .. }), "{reason}");
    }
}

#[tokio::test]
async fn unknown_issuer() {
    let client = Ca::named("Root").client();
    let other = Ca::named("Other");
    let (error, _) = distrust(&client, &other.server(), "a.example").await;
    let words = "certificate was issued by \"CN=Other\", which is not trusted";
    assert!(format!("{error:#}").ends_with(words), "{error:#}");
    assert!(error.hint().unwrap().contains("intermediate"));

    let middle = other.intermediate(ca_params("Middle"));
    let (error, reason) = distrust(&client, &middle.server(), "a.example").await;
    assert_eq!(reason, Reason::UnknownIssuer { issuer: "CN=Other".into(), alone: false });
    assert!(!error.hint().unwrap().contains("intermediate"));
    assert_eq!(error.find::<Untrusted>().unwrap().chain.len(), 2);
    assert!(agree(&other.client(), &middle.server()).await.verified);
}

#[tokio::test]
async fn an_issuer_with_the_same_name_and_another_key() {
    let client = Ca::named("Root").client();
    let (_, reason) = distrust(&client, &Ca::named("Root").server(), "a.example").await;
    assert_eq!(reason, Reason::BadSignature { issuer: "CN=Root".into() });
}

#[tokio::test]
async fn not_for_servers() {
    let ca = Ca::named("Root");
    let mut client_only = params(&["a.example"]);
    client_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let server = Server::new(ca.leaf(client_only));
    let (_, reason) = distrust(&ca.client(), &server, "a.example").await;
    assert_eq!(reason, Reason::NotForServers);
}

#[test]
fn a_machine_without_roots() {
    let verifier = Verifier::new(Trust::Nothing, Vec::new());
    let name = ServerName::try_from("a.example").unwrap();
    let judge = |identity: Identity| {
        let leaf: CertificateDer<'_> = identity.certified_key().cert[0].clone();
        verifier.judge(&leaf, &[], &name, UnixTime::now()).unwrap_err().reason
    };
    assert_eq!(judge(Ca::named("Root").leaf(params(&["a.example"]))), Reason::NoRoots);
    assert_eq!(judge(self_signed(&params(&["a.example"])).0), Reason::SelfSigned);
}

#[tokio::test]
async fn the_platform_does_not_trust_what_we_mint() {
    let (error, reason) = distrust(&Tls::new(), &Ca::named("Root").server(), "a.example").await;
    match reason {
        Reason::NoRoots => assert!(error.hint().unwrap().contains("ca-certificates")),
        reason => assert!(matches!(reason, Reason::UnknownIssuer { .. }), "{reason}"),
    }
}

#[test]
fn what_no_handshake_here_brings_about() {
    let leaf = Ca::named("Root").leaf(params(&["a.example"])).chain().remove(0);
    let judged = |error: rustls::CertificateError| {
        let chain = std::slice::from_ref(&leaf);
        reason(&error.into(), Some("a.example"), &leaf, chain, SystemTime::now())
    };
    assert_eq!(judged(rustls::CertificateError::Revoked), Reason::Revoked);
    assert_eq!(
        judged(rustls::CertificateError::UnknownRevocationStatus),
        Reason::Other("unknown revocation status".into())
    );
}

#[tokio::test]
async fn pins() {
    let ca = Ca::named("Root");
    let server = ca.server();
    let pin = agree(&ca.client(), &server).await.chain[0].pin;
    let other = Pin::of(b"another key");
    let issuer = Pin::of(&ca.issuer.key().subject_public_key_info());

    assert!(agree(&ca.client().with_pin(other).with_pin(pin), &server).await.verified);
    for wrong in [other, issuer] {
        let client = ca.client().with_pin(wrong);
        let (error, reason) = distrust(&client, &server, "a.example").await;
        assert_eq!(reason, Reason::Pin { found: pin });
        assert!(format!("{error:#}").contains(&pin.to_string()));
    }
    // A pin does not stand in for trust.
    let stranger = Ca::named("Other").client().with_pin(pin);
    let (_, reason) = distrust(&stranger, &server, "a.example").await;
    assert!(matches!(reason, Reason::UnknownIssuer { .. }));
}

#[test]
fn pins_are_read_in_curls_way_too() {
    let pin = Pin::of(b"");
    let text = pin.to_string();
    assert_eq!(text.parse(), Ok(pin));
    assert_eq!(text.replace('/', "//").parse::<Pin>(), Err(PinError), "slashes inside count");
    assert_eq!(text.replacen('/', "//", 1).parse(), Ok(pin));
    for bad in ["", "sha256/", "sha256/AAAA", "sha1/AAAA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM"] {
        assert_eq!(bad.parse::<Pin>(), Err(PinError), "{bad}");
    }
}

#[tokio::test]
async fn without_verification_the_verdict_is_still_told() {
    let ca = Ca::named("Root");
    let (identity, _) = self_signed(&params(&["a.example"]));
    let server = Server::new(identity);
    let info = agree(&danger::without_verification(ca.client()), &server).await;
    assert!(!info.verified);
    assert_eq!(info.distrust, Some(Reason::SelfSigned));
    assert_eq!(info.chain[0].subject, "CN=leaf, O=Example");

    let fine = agree(&danger::without_verification(ca.client()), &ca.server()).await;
    assert_eq!((fine.verified, fine.distrust), (false, None));

    let pinned = danger::without_verification(ca.client()).with_pin(Pin::of(b"another key"));
    let (_, reason) = distrust(&pinned, &server, "a.example").await;
    assert!(matches!(reason, Reason::Pin { .. }));
}
