use proptest::prelude::*;

use super::*;

fn tcp(address: &str) -> Endpoint {
    address.parse::<SocketAddr>().unwrap().into()
}

fn parsed(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    match ProxyHeader::parse(bytes)? {
        Parsed::Header(header, _) => Ok(header),
        Parsed::Needs(needed) => panic!("needs {needed} more"),
    }
}

#[test]
fn a_line_is_as_in_the_specification() {
    let header = ProxyHeader::new(&tcp("192.168.0.1:56324"), &tcp("192.168.0.11:443"));
    let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
    assert_eq!(header.v1(), line);
    assert_eq!(parsed(line), Ok(header));
    let header = ProxyHeader::new(&tcp("[2001:db8::1]:1"), &tcp("[::1]:65535"));
    assert_eq!(header.v1(), b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
}

#[test]
fn lines_that_are_not_exactly_so_are_refused() {
    for line in [
        "PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.5 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4  1.2.3.5 1 2\r\n",
        "PROXY TCP4 1.2.3.04 1.2.3.5 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.5 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.5 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.5 1 65536\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.5 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.5 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.5 1 2\r\n",
    ] {
        assert_eq!(parsed(line.as_bytes()), Err(ProxyHeaderError::Malformed), "{line}");
    }
    // A bare LF or CR does not end the line.
    let endless = format!("PROXY UNKNOWN \n\r{}", "x".repeat(200));
    assert_eq!(parsed(endless.as_bytes()), Err(ProxyHeaderError::TooLong));
    for other in ["GET / HTTP/1.1\r\n", "PROXYTCP4", "\r\n\r\n\0\r\nQUIX"] {
        assert_eq!(parsed(other.as_bytes()), Err(ProxyHeaderError::Missing), "{other}");
    }
}

#[test]
fn unknown_is_nobody() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(longest.len(), LINE_MAX);
    for line in ["PROXY UNKNOWN\r\n", &longest] {
        assert_eq!(parsed(line.as_bytes()), Ok(ProxyHeader::local()));
    }
    let datagram = tcp("192.0.2.1:1").with_transport(Transport::Udp);
    assert_eq!(ProxyHeader::new(&datagram, &datagram).v1(), b"PROXY UNKNOWN\r\n");
    assert_eq!(ProxyHeader::new(&Endpoint::unix("/a"), &tcp("[::1]:1")), ProxyHeader::local());
}

#[test]
fn version_2_is_as_in_the_specification() {
    let header = ProxyHeader::new(&tcp("192.0.2.1:258"), &tcp("192.0.2.2:443"));
    let wire = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\x01\x02\x01\xbb";
    assert_eq!(header.v2(), wire);
    assert_eq!(parsed(wire), Ok(header));
    assert_eq!(ProxyHeader::local().v2(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
}

#[test]
fn version_2_skips_what_it_does_not_know() {
    // With TLVs after the addresses.
    let mut wire = ProxyHeader::new(&tcp("192.0.2.1:258"), &tcp("192.0.2.2:443")).v2();
    wire.extend(b"\x04\0\x03abc");
    wire[15] = 12 + 6;
    assert_eq!(parsed(&wire).unwrap().source(), Some(&tcp("192.0.2.1:258")));
    // LOCAL with a family and a body, PROXY without a family.
    for command in ["\x20\x77\0\x02ab", "\x20\x11\0\0", "\x21\0\0\0", "\x21\x10\0\x01a"] {
        let wire = [SIGNATURE, command.as_bytes()].concat();
        assert_eq!(parsed(&wire), Ok(ProxyHeader::local()), "{command:?}");
    }
}

#[test]
fn version_2_is_bounded_and_exact() {
    let with = |rest: &[u8]| parsed(&[SIGNATURE, rest].concat());
    assert_eq!(with(b"\x21\x11\x10\x01"), Err(ProxyHeaderError::TooLong));
    // Another version or command, family or protocol, and too few bytes.
    for rest in [&b"\x11\x11\0\0"[..], b"\x22\x11\0\0", b"\x21\x41\0\0", b"\x21\x13\0\0"] {
        assert_eq!(with(rest), Err(ProxyHeaderError::Malformed));
    }
    assert_eq!(with(b"\x21\x11\0\x0412345"), Err(ProxyHeaderError::Malformed));
}

#[test]
fn mixed_families_become_one() {
    let header = ProxyHeader::new(&tcp("192.0.2.1:1"), &tcp("[2001:db8::1]:2"));
    assert_eq!(header.v1(), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
    let mapped = ProxyHeader::new(&tcp("[::ffff:192.0.2.1]:1"), &tcp("192.0.2.2:2"));
    assert_eq!(mapped.v1(), b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
}

/// Gives its bytes in one piece, however many are asked for.
#[tokio::test]
async fn not_a_byte_of_what_follows_is_read() {
    let from_abstract = Endpoint { host: Host::Abstract("a b".into()), ..Endpoint::unix("") };
    for header in [
        ProxyHeader::local(),
        ProxyHeader::new(&tcp("192.0.2.1:1"), &tcp("192.0.2.2:2")),
        ProxyHeader::new(&tcp("[2001:db8::1]:65535"), &tcp("[::1]:65535")),
        ProxyHeader::new(&from_abstract, &Endpoint::unix("/run/a.sock")),
    ] {
        let mut versions = vec![header.v2()];
        if header.v1() != b"PROXY UNKNOWN\r\n" || header == ProxyHeader::local() {
            versions.push(header.v1());
        }
        for wire in versions {
            let sent = [&wire, &b"\r\nahoy"[..]].concat();
            let mut rest = &sent[..];
            assert_eq!(ProxyHeader::read(&mut rest).await.unwrap(), header);
            assert_eq!(rest, b"\r\nahoy");
            let mut cut = &wire[..wire.len() - 1];
            let error = ProxyHeader::read(&mut cut).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Lost, "{error:#}");
        }
    }
}

#[tokio::test]
async fn what_is_no_header_shows_at_its_first_byte() {
    let (mut ours, mut theirs) = tokio::io::duplex(64);
    tokio::io::AsyncWriteExt::write_all(&mut theirs, b"G").await.unwrap();
    let error = ProxyHeader::read(&mut ours).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Protocol);
    assert_eq!(
        format!("{error:#}"),
        "could not read the PROXY header: the connection does not begin with a PROXY header"
    );
}

fn endpoints() -> impl Strategy<Value = (Endpoint, Endpoint)> {
    let inet = |ip: IpAddr, port| Endpoint::from(SocketAddr::new(ip, port));
    let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)];
    let unix = prop_oneof![
        "[^\0]{0,20}".prop_map(Endpoint::unix),
        "[^\0]{1,20}"
            .prop_map(|name| Endpoint { host: Host::Abstract(name), ..Endpoint::unix("") }),
    ];
    prop_oneof![
        (any::<[(IpAddr, u16); 2]>(), transport).prop_map(move |(ends, transport)| {
            let [from, to] = ends.map(|(ip, port)| inet(ip, port).with_transport(transport));
            (from, to)
        }),
        (unix.clone(), unix),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed((from, to) in endpoints(), rest in any::<Vec<u8>>()) {
        let header = ProxyHeader::new(&from, &to);
        for (wire, shown) in [
            (header.v2(), header.clone()),
            (header.v1(), if header.v1() == b"PROXY UNKNOWN\r\n" {
                ProxyHeader::local()
            } else {
                header.clone()
            }),
        ] {
            let all = [&wire[..], &rest].concat();
            prop_assert_eq!(ProxyHeader::parse(&all), Ok(Parsed::Header(shown, wire.len())));
            for end in 0..wire.len() {
                // Never more than is still to come.
                match ProxyHeader::parse(&wire[..end]) {
                    Ok(Parsed::Needs(needed)) => prop_assert!(end + needed <= wire.len()),
                    other => prop_assert!(false, "{:?} of {}: {:?}", wire, end, other),
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_parsed(bytes in any::<Vec<u8>>(), signed in any::<bool>()) {
        let bytes = if signed { [SIGNATURE, &bytes].concat() } else { bytes };
        if let Ok(Parsed::Header(_, length)) = ProxyHeader::parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }
}
