//! Both ends over memory, with certificates minted anew for each test.

mod handshake;
mod identity;
mod properties;
mod trust;

use std::sync::Arc;

use portolan_core::{Error, Host, Phase, Timeouts, Value};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use time::{Duration, OffsetDateTime};

use super::*;
use crate::{Context, Recorder, Stream};

type Outcome = Result<(Stream, Info), Error>;

/// A certificate authority.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Sent along with each leaf.
    chain: String,
}

impl Ca {
    fn named(name: &str) -> Self {
        Self::root(ca_params(name))
    }

    fn root(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer, chain: String::new() }
    }

    fn intermediate(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        let chain = issuer.as_ref().pem();
        Self { issuer, chain }
    }

    fn der(&self) -> Vec<u8> {
        self.issuer.as_ref().der().to_vec()
    }

    fn leaf(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        let chain = leaf.pem() + &self.chain;
        Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    fn client(&self) -> Tls {
        Tls::new().with_ca([self.der()]).unwrap()
    }

    fn server(&self) -> Server {
        Server::new(self.leaf(params(&["a.example"])))
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A leaf that is valid from so many hours from now to so many hours from now.
fn valid(from: i64, until: i64) -> CertificateParams {
    let mut params = params(&["a.example"]);
    params.not_before = OffsetDateTime::now_utc() + Duration::hours(from);
    params.not_after = OffsetDateTime::now_utc() + Duration::hours(until);
    params
}

fn self_signed(params: &CertificateParams) -> (Identity, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(pem.0.as_bytes(), pem.1.as_bytes()).unwrap();
    (identity, certificate.der().to_vec())
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn context() -> (Context, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    (Context::new(Timeouts::default()).with_observer(recorder.clone()), recorder)
}

/// Both ends of one handshake with `name`.
async fn shake(client: &Tls, server: &Server, name: &str) -> (Outcome, Outcome) {
    shake_seen_by(&context().0, client, server, name).await
}

/// Both ends of one handshake, of which the observers of `cx` see the client's.
async fn shake_seen_by(
    cx: &Context,
    client: &Tls,
    server: &Server,
    name: &str,
) -> (Outcome, Outcome) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (unseen, name) = (Context::new(Timeouts::default()), host(name));
    tokio::join!(
        client.connect(Stream::boxed(near), &name, cx),
        server.accept(Stream::boxed(far), &unseen)
    )
}

/// The client's facts, where the handshake went well.
async fn agree(client: &Tls, server: &Server) -> Info {
    let (dialled, accepted) = shake(client, server, "a.example").await;
    accepted.unwrap();
    dialled.unwrap().1
}

/// The client's error, and why it trusts the server not.
async fn distrust(client: &Tls, server: &Server, name: &str) -> (Error, Reason) {
    let error = shake(client, server, name).await.0.unwrap_err();
    assert_eq!(error.kind(), portolan_core::Kind::Untrusted, "{error:#}");
    assert_eq!(error.phase(), Some(Phase::TLS));
    assert!(error.hint().is_some());
    let reason = error.find::<Untrusted>().unwrap().reason.clone();
    (error, reason)
}

fn fact(recorder: &Recorder, name: &str) -> Option<Value> {
    let timings = recorder.timings();
    let span = timings.spans().iter().find(|span| span.phase == Phase::TLS)?;
    span.facts.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}
