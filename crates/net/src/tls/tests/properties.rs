use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Bytes that look more or less like TLS records.
fn records() -> impl Strategy<Value = Vec<u8>> {
    let record =
        (0x13u8..0x19, 0u8..5, vec(any::<u8>(), 0..200)).prop_map(|(kind, minor, body)| {
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            [&[kind, 3, minor][..], &length, &body].concat()
        });
    prop_oneof![vec(any::<u8>(), 0..400), vec(record, 0..4).prop_map(|records| records.concat())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_a_peer_says_ends_in_an_error(said in records()) {
        let ca = Ca::named("Root");
        let (client, server) = (ca.client(), ca.server());
        let errors = block_on(async {
            let (near, mut far) = tokio::io::duplex(64 * 1024);
            far.write_all(&said).await.unwrap();
            far.shutdown().await.unwrap();
            let (cx, name) = (context().0, host("a.example"));
            let dialled = client.connect(Stream::boxed(near), &name, &cx).await.unwrap_err();

            let (mut near, far) = tokio::io::duplex(64 * 1024);
            near.write_all(&said).await.unwrap();
            near.shutdown().await.unwrap();
            [dialled, server.accept(Stream::boxed(far), &cx).await.unwrap_err()]
        });
        for error in errors {
            prop_assert_eq!(error.kind(), portolan_core::Kind::Tls);
            prop_assert_eq!(error.phase(), Some(Phase::TLS));
        }
    }

    #[test]
    fn damaged_certificates_are_read_or_refused(at in any::<prop::sample::Index>(), with: u8) {
        let (_, mut der) = self_signed(&params(&["a.example", "127.0.0.1"]));
        let at = at.index(der.len());
        der[at] = with;
        if let Some(certificate) = Certificate::from_der(&der) {
            let _ = certificate.days_left(std::time::UNIX_EPOCH);
            let shown = certificate.to_value(std::time::UNIX_EPOCH).to_string();
            prop_assert!(shown.contains("days_left"));
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_read(der in vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Certificate::from_der(&der), None);
    }

    #[test]
    fn pins_round_trip(key: Vec<u8>) {
        let pin = Pin::of(&key);
        prop_assert_eq!(pin.to_string().parse(), Ok(pin));
    }
}
