use portolan_core::{Blame, Kind};

use super::*;

struct Minted {
    certificate: String,
    key: String,
}

fn mint() -> Minted {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["a.example"]).self_signed(&key).unwrap().pem();
    Minted { certificate, key: key.serialize_pem() }
}

fn refused(certificate: &str, key: &str) -> PemError {
    let error = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::Usage, Blame::Input));
    assert!(error.hint().is_some());
    error.find::<PemError>().unwrap().clone()
}

#[test]
fn what_does_not_serve_is_told_apart() {
    let (one, other) = (mint(), mint());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cut = one.certificate.split("-----END").next().unwrap();
    let rubbish = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(refused(&one.key, &one.key), PemError::NoCertificate);
    assert_eq!(refused("", &one.key), PemError::NoCertificate);
    assert_eq!(refused(&one.certificate, &one.certificate), PemError::NoKey);
    assert_eq!(refused(&one.certificate, encrypted), PemError::EncryptedKey);
    assert_eq!(refused(&one.certificate, rubbish), PemError::Unusable);
    assert_eq!(refused(cut, &one.key), PemError::Malformed);
    assert_eq!(refused(&one.certificate, &other.key), PemError::KeyMismatch);
}

#[test]
fn files_are_named_in_errors() {
    let minted = mint();
    let room = tempfile::tempdir().unwrap();
    let (certificate, key) = (room.path().join("cert.pem"), room.path().join("key.pem"));
    let error = Identity::from_pem_files(&certificate, &key).unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::Read, Blame::Input));
    assert_eq!(
        format!("{error:#}"),
        format!("could not read {}: no such file or directory", certificate.display())
    );

    std::fs::write(&certificate, &minted.certificate).unwrap();
    std::fs::write(&key, mint().key).unwrap();
    let error = Identity::from_pem_files(&certificate, &key).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "could not use the key in {} with the certificate in {}: the key does not belong to \
             the certificate",
            key.display(),
            certificate.display()
        )
    );

    // One file may hold both.
    std::fs::write(&certificate, minted.certificate + &minted.key).unwrap();
    let identity = Identity::from_pem_files(&certificate, &certificate).unwrap();
    assert_eq!(identity.chain()[0].names, ["a.example"]);
}

#[tokio::test]
async fn a_ca_file_replaces_the_platforms_roots() {
    let ca = Ca::named("Root");
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("ca.pem");
    let error = Tls::new().with_ca_file(&path).unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::Read, Blame::Input));

    std::fs::write(&path, "nothing here\n").unwrap();
    let error = Tls::new().with_ca_file(&path).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "could not use the certificates in {}: there is no certificate in it",
            path.display()
        )
    );
    assert_eq!(
        Tls::new().with_ca([b"rubbish".to_vec()]).unwrap_err().find(),
        Some(&PemError::Unusable)
    );

    let bundle = Ca::named("Other").issuer.as_ref().pem() + &ca.issuer.as_ref().pem();
    std::fs::write(&path, bundle).unwrap();
    assert!(agree(&Tls::new().with_ca_file(&path).unwrap(), &ca.server()).await.verified);
}

#[test]
fn keys_are_not_printed() {
    let minted = mint();
    let key: Vec<_> = minted.key.lines().filter(|line| !line.starts_with('-')).collect();
    let identity =
        Identity::from_pem(minted.certificate.as_bytes(), minted.key.as_bytes()).unwrap();
    let printed = format!(
        "{identity:?} {:?} {:?}",
        Tls::new().with_client_identity(identity.clone()),
        Server::new(identity.clone())
    );
    assert!(printed.contains("CN=leaf"));
    assert!(key.iter().all(|line| !printed.contains(line)));
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_by_its_pin_alone() {
    let identity = Identity::self_signed(&Host::Name("a.example".to_owned())).unwrap();
    let [certificate] = identity.chain().try_into().unwrap();
    assert!(certificate.self_signed && certificate.for_servers);
    assert_eq!(certificate.names, ["a.example", "localhost", "127.0.0.1", "::1"]);
    let pinned = danger::without_verification(Tls::new().with_pin(certificate.pin));
    assert!(!agree(&pinned, &Server::new(identity.clone())).await.verified);
    let other = Identity::self_signed(&Host::Name("a.example".to_owned())).unwrap();
    assert_ne!(other.chain()[0].pin, certificate.pin);
}
