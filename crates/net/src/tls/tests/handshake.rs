use std::os::unix::fs::PermissionsExt;

use portolan_core::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::*;

/// The client's error against a peer that says `answer` and then closes.
async fn refused_by(client: &Tls, answer: &[u8]) -> Error {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    far.write_all(answer).await.unwrap();
    far.shutdown().await.unwrap();
    let (cx, _) = context();
    let error = client.connect(Stream::boxed(near), &host("a.example"), &cx).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Tls, Some(Phase::TLS)));
    error
}

const fn alert(description: u8) -> [u8; 7] {
    [0x15, 3, 3, 0, 2, 2, description]
}

#[tokio::test]
async fn alerts_are_told_apart() {
    let ca = Ca::named("Root");
    let bare = ca.client();
    let with_identity = ca.client().with_client_identity(ca.leaf(params(&["client"])));
    let cases = [
        (&bare, 40, HandshakeError::Refused("handshake_failure".into()), "client certificate"),
        (&bare, 42, HandshakeError::CertificateRequired, "--cert"),
        (&with_identity, 48, HandshakeError::CertificateRefused("unknown_ca".into()), "--cert"),
        (&bare, 70, HandshakeError::NoCommonVersion, "update the peer"),
        (&bare, 112, HandshakeError::UnknownName, "--sni"),
        (&bare, 116, HandshakeError::CertificateRequired, "--cert"),
        (&bare, 120, HandshakeError::NoCommonProtocol, "--alpn"),
    ];
    for (client, number, expected, hint) in cases {
        let error = refused_by(client, &alert(number)).await;
        assert_eq!(error.find(), Some(&expected));
        assert!(error.hint().unwrap().contains(hint), "{number}: {:?}", error.hint());
    }
    let error = refused_by(&bare, &alert(71)).await;
    assert_eq!(error.find(), Some(&HandshakeError::NoCommonCipher));
    let error = refused_by(&bare, &alert(200)).await;
    assert_eq!(
        format!("{error:#}"),
        "could not set up TLS with a.example: the peer refused the handshake (alert 200)"
    );
}

#[tokio::test]
async fn peers_that_do_not_speak_tls() {
    let client = Ca::named("Root").client();
    for banner in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail ESMTP\r\n", "SSH-2.0-x\r\n"] {
        let error = refused_by(&client, banner.as_bytes()).await;
        assert_eq!(error.find(), Some(&HandshakeError::NotTls), "{error:#}");
        assert!(error.hint().unwrap().contains("without TLS"));
    }
    let error = refused_by(&client, b"").await;
    assert_eq!(error.find(), Some(&HandshakeError::Closed));
}

#[tokio::test]
async fn clients_that_do_not_speak_tls() {
    let server = Ca::named("Root").server();
    for (said, expected) in
        [(&b"GET / HTTP/1.1\r\n\r\n"[..], HandshakeError::NotTls), (b"", HandshakeError::Closed)]
    {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(said).await.unwrap();
        near.shutdown().await.unwrap();
        let error = server.accept(Stream::boxed(far), &context().0).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (Kind::Tls, Some(Phase::TLS)));
        assert_eq!(error.find(), Some(&expected));
    }
}

#[tokio::test]
async fn a_reset_is_a_failed_handshake() {
    let client = Ca::named("Root").client();
    let stream = Stream::boxed(tokio::io::join(Reset, tokio::io::sink()));
    let error = client.connect(stream, &host("a.example"), &context().0).await.unwrap_err();
    assert_eq!((error.kind(), error.find()), (Kind::Tls, Some(&HandshakeError::Reset)));
}

/// The receiving side of a connection that was reset.
struct Reset;

impl AsyncRead for Reset {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_times_out_at_tls() {
    let client = Ca::named("Root").client();
    let (near, _far) = tokio::io::duplex(64 * 1024);
    let (cx, recorder) = context();
    let limit = std::time::Duration::from_secs(10);
    let cx = cx.limited(Some(limit));
    let error = client.connect(Stream::boxed(near), &host("a.example"), &cx).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Some(Phase::TLS)));
    assert!(recorder.timings().elapsed(Phase::TLS).unwrap() >= limit);
}

#[tokio::test]
async fn versions() {
    let ca = Ca::named("Root");
    let only = |version| ca.server().with_versions(version, version).unwrap();
    for version in [Version::Tls12, Version::Tls13] {
        assert_eq!(agree(&ca.client(), &only(version)).await.version, version);
    }
    let client = ca.client().with_versions(Version::Tls13, Version::Tls13).unwrap();
    let (dialled, accepted) = shake(&client, &only(Version::Tls12), "a.example").await;
    let error = dialled.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "could not set up TLS with a.example: the peer and we have no TLS version in common"
    );
    assert_eq!(error.hint(), Some("we offered TLSv1.3: see --tls-min and --tls-max"));
    assert_eq!(accepted.unwrap_err().find(), Some(&HandshakeError::NoCommonVersion));

    let inverted = ca.client().with_versions(Version::Tls13, Version::Tls12).unwrap_err();
    assert_eq!(inverted.kind(), Kind::Usage);
}

#[tokio::test]
async fn alpn() {
    let ca = Ca::named("Root");
    let server = ca.server().with_alpn(["h2", "http/1.1"]);
    assert_eq!(agree(&ca.client(), &server).await.alpn, None);
    let http = ca.client().with_default_alpn(["h2", "http/1.1"]);
    assert_eq!(agree(&http, &server).await.alpn.as_deref(), Some("h2"));
    let chosen = http.with_alpn(["http/1.1"]).with_default_alpn(["h2"]);
    assert_eq!(agree(&chosen, &server).await.alpn.as_deref(), Some("http/1.1"));

    let (dialled, accepted) = shake(&ca.client().with_alpn(["smtp"]), &server, "a.example").await;
    assert_eq!(dialled.unwrap_err().find(), Some(&HandshakeError::NoCommonProtocol));
    assert_eq!(accepted.unwrap_err().find(), Some(&HandshakeError::NoCommonProtocol));

    for bad in [String::new(), "x".repeat(256)] {
        let (dialled, _) = shake(&ca.client().with_alpn([bad]), &server, "a.example").await;
        assert_eq!(dialled.unwrap_err().kind(), Kind::Usage);
    }
}

#[tokio::test]
async fn client_certificates() {
    let ca = Ca::named("Root");
    let server = ca.server().with_client_ca([ca.der()]).unwrap();
    let client = ca.client().with_client_identity(ca.leaf(params(&["client"])));
    let (dialled, accepted) = shake(&client, &server, "a.example").await;
    dialled.unwrap();
    let info = accepted.unwrap().1;
    assert!(info.verified);
    assert_eq!(info.chain[0].names, ["client"]);

    let old = server.clone().with_versions(Version::Tls12, Version::Tls12).unwrap();
    let (dialled, accepted) = shake(&ca.client(), &old, "a.example").await;
    let error = dialled.unwrap_err();
    assert_eq!(error.kind(), Kind::Tls);
    assert!(error.hint().unwrap().contains("--cert"));
    assert_eq!(accepted.unwrap_err().find(), Some(&HandshakeError::CertificateRequired));

    let stranger = ca.client().with_client_identity(Ca::named("Other").leaf(params(&["client"])));
    let (_, accepted) = shake(&stranger, &server, "a.example").await;
    let error = accepted.unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "could not trust the certificate of the client: certificate was issued by \"CN=Other\", \
         which is not trusted"
    );
}

#[tokio::test]
async fn in_tls_1_3_the_refusal_of_a_client_comes_with_the_first_read() {
    let ca = Ca::named("Root");
    let server = ca.server().with_client_ca([ca.der()]).unwrap();
    let stranger = Ca::named("Other").leaf(params(&["client"]));
    let cases = [
        (ca.client(), HandshakeError::CertificateRequired),
        (
            ca.client().with_client_identity(stranger),
            HandshakeError::CertificateRefused("certificate_unknown".into()),
        ),
    ];
    for (client, expected) in cases {
        let (dialled, accepted) = shake(&client, &server, "a.example").await;
        assert!(accepted.is_err());
        let error = dialled.unwrap().0.read_u8().await.unwrap_err();
        let refusal = refusal_of(&error).unwrap();
        assert_eq!((refusal.kind(), refusal.phase()), (Kind::Tls, Some(Phase::TLS)));
        assert_eq!(refusal.find(), Some(&expected));
        assert!(refusal.hint().unwrap().contains("--cert"));
    }
    assert!(refusal_of(&std::io::Error::other("something else")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_may_say_something_before_it_reads_why() {
    let ca = Ca::named("Root");
    let server = ca.server().with_client_ca([ca.der()]).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (cx, _) = context();
    let its_cx = cx.clone();
    let refusing =
        tokio::spawn(async move { server.accept(Stream::boxed(far), &its_cx).await.map(drop) });
    let dialled = ca.client().connect(Stream::boxed(near), &host("a.example"), &cx).await;
    let mut client = dialled.unwrap().0;
    // By then it has been refused.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    client.write_all(b"ahoy").await.unwrap();
    client.flush().await.unwrap();
    assert!(refusal_of(&client.read_u8().await.unwrap_err()).is_some());
    drop(client);
    assert_eq!(refusing.await.unwrap().unwrap_err().kind(), Kind::Tls);
}

#[tokio::test]
async fn a_server_has_an_identity_for_each_name() {
    let ca = Ca::named("Root");
    let (expired, _) = self_signed(&valid(-48, -24));
    let server = ca.server().with_identity("Expired.example", expired);
    assert!(agree(&ca.client(), &server).await.verified);
    let (_, reason) = distrust(&ca.client(), &server, "expired.example").await;
    assert!(matches!(reason, Reason::Expired { .. }), "{reason}");
}

#[tokio::test]
async fn sessions_are_resumed_unless_told_otherwise() {
    let ca = Ca::named("Root");
    let server = ca.server();
    for (client, expected) in [(ca.client(), true), (ca.client().without_resumption(), false)] {
        // Another protocol's defaults share the configuration and its sessions.
        for (client, expected) in
            [(client.clone(), false), (client.with_default_alpn(["h2"]), expected)]
        {
            let (dialled, accepted) = shake(&client, &server, "a.example").await;
            let (mut near, info) = dialled.unwrap();
            assert_eq!(info.resumed, expected);
            assert_eq!(info.chain.len(), 1);
            // Tickets come with the first bytes.
            accepted.unwrap().0.write_all(b"x").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'x');
        }
    }
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let ca = Ca::named("Root");
    let (dialled, accepted) = shake(&ca.client(), &ca.server(), "a.example").await;
    let (mut near, mut far) = (dialled.unwrap().0, accepted.unwrap().0);
    near.write_all(b"ahoy").await.unwrap();
    near.shutdown().await.unwrap();
    let mut said = String::new();
    far.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "ahoy");
}

#[tokio::test]
async fn the_key_log_holds_the_secrets_and_only_its_owner_reads_them() {
    let ca = Ca::named("Root");
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("keys");
    std::fs::write(room.path().join("older"), "# older\n").unwrap();
    for name in ["keys", "older"] {
        let client = ca.client().with_key_log(room.path().join(name)).unwrap();
        agree(&client, &ca.server()).await;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    for line in text.lines() {
        let parts: Vec<_> = line.split(' ').collect();
        assert_eq!((parts.len(), parts[1].len()), (3, 64), "{line}");
    }
    assert!(text.contains("CLIENT_TRAFFIC_SECRET_0 "));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let older = std::fs::read_to_string(room.path().join("older")).unwrap();
    assert!(older.starts_with("# older\n") && older.contains("CLIENT_HANDSHAKE_TRAFFIC_SECRET"));

    let error = ca.client().with_key_log(room.path().join("none/keys")).unwrap_err();
    assert_eq!(error.kind(), Kind::Write);
}
