//! Heads and bodies: what is read of them, and that it matters not in what pieces they come.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Limits;

/// What a request comes to: its target, its framing and whether the connection goes on.
fn read(bytes: &[u8], limits: &Limits) -> Result<Option<(String, Framing, bool)>, BadRequest> {
    let Some(end) = Scan::default().end(bytes, limits)? else { return Ok(None) };
    let mut fields = Fields::new();
    let head = Head::parse(&bytes[..end], &mut fields, limits)?;
    Ok(Some((head.target.to_owned(), head.framing, head.is_persistent)))
}

fn refused(bytes: &[u8]) -> BadRequest {
    read(bytes, &Limits::default()).unwrap_err()
}

#[test]
fn a_head_says_how_its_body_is_delimited_and_whether_another_follows() {
    let limits = Limits::default();
    let read = |bytes: &[u8]| read(bytes, &limits).unwrap().unwrap();
    let nothing = Framing::Length(0);
    for (head, framing, is_persistent) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", nothing, true),
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: x , Close\r\n\r\n", nothing, false),
        ("GET / HTTP/1.0\r\n\r\n", nothing, false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", nothing, true),
        ("GET / HTTP/1.1\r\nhost:\r\nContent-Length: 007\r\n\r\n", Framing::Length(7), true),
        ("P / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:Chunked\r\n\r\n", Framing::Chunked, true),
    ] {
        assert_eq!(read(head.as_bytes()), ("/".to_owned(), framing, is_persistent), "{head:?}");
    }
}

#[test]
fn a_head_that_cannot_become_one_is_refused_at_once() {
    assert_eq!(refused(b"\x16\x03\x01\x02"), BadRequest::RequestLine);
    assert_eq!(refused(b"GET / HTTP/1.1\n"), BadRequest::LineEnd);
    assert_eq!(refused(&[b'A'; 9 * 1024]), BadRequest::TargetTooLong);
    let long = [b"GET / HTTP/1.1\r\nx: ".to_vec(), vec![b'x'; 64 * 1024]].concat();
    assert_eq!(refused(&long), BadRequest::HeadTooLarge);
    assert_eq!(read(&long[..1000], &Limits::default()), Ok(None));
    let of_length =
        |length: u64| format!("P / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    assert_eq!(refused(of_length(1 << 63).as_bytes()), BadRequest::Length);
    assert!(read(of_length((1 << 63) - 1).as_bytes(), &Limits::default()).is_ok());
}

#[test]
fn limits_are_exact() {
    let head = b"GET /abc HTTP/1.1\r\nhost: a\r\nx: y\r\n\r\n";
    let exact = Limits { head: head.len(), fields: 2, target: 4, ..Limits::default() };
    assert!(read(head, &exact).is_ok());
    for (limits, error) in [
        (Limits { head: head.len() - 1, ..exact.clone() }, BadRequest::HeadTooLarge),
        (Limits { fields: 1, ..exact.clone() }, BadRequest::HeadTooLarge),
        (Limits { target: 3, ..exact }, BadRequest::TargetTooLong),
    ] {
        assert_eq!(read(head, &limits), Err(error));
    }
}

#[test]
fn versions_that_exist_are_told_from_nonsense() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/1.2", "HTTP/0.9"] {
        let head = format!("GET / {version}\r\nhost: a\r\n\r\n");
        assert_eq!(refused(head.as_bytes()), BadRequest::Version, "{version}");
    }
    for version in ["HTTP/11", "http/1.1", "HTP/1.1", ""] {
        let head = format!("GET / {version}\r\nhost: a\r\n\r\n");
        assert_eq!(refused(head.as_bytes()), BadRequest::RequestLine, "{version}");
    }
}

#[test]
fn a_target_has_the_form_of_its_method() {
    let request = |line: &str| {
        let head = format!("{line} HTTP/1.1\r\nhost: a\r\n\r\n");
        read(head.as_bytes(), &Limits::default()).map(|_| ())
    };
    for line in ["GET /a?b=/c", "GET http://a/b", "OPTIONS *", "CONNECT a:1", "CONNECT [::1]:1"] {
        assert_eq!(request(line), Ok(()), "{line}");
    }
    for line in ["GET *", "GET a", "CONNECT /", "CONNECT a", "CONNECT u@a:1", "GET /a#b"] {
        assert_eq!(request(line), Err(BadRequest::Target), "{line}");
    }
}

/// Decodes a body that comes in these pieces.
fn decode(
    framing: Framing,
    limits: &Limits,
    pieces: &[&[u8]],
) -> Result<Option<(Vec<u8>, HeaderMap, Bytes)>, BadRequest> {
    let mut decoder = BodyDecoder::new(framing, limits)?;
    let (mut input, mut body) = (BytesMut::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        input.extend_from_slice(piece);
        while let Some(piece) = decoder.decode(&mut input)? {
            match piece {
                Piece::Data(data) => body.extend(data),
                Piece::End(trailers) => {
                    input.extend(pieces[index + 1..].iter().copied().flatten());
                    return Ok(Some((body, trailers, input.freeze())));
                }
            }
        }
    }
    Ok(None)
}

fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, HeaderMap, Bytes)>, BadRequest> {
    decode(Framing::Chunked, &Limits::default(), &[bytes])
}

#[test]
fn chunks_that_are_broken_are_refused() {
    for broken in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\n",
        "1\n",
        "1\r\nab",
        "1\r\na\n",
        "10000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "8000000000000000\r\n",
        "00000000000000001\r\n",
        "1;a\x00\r\n",
        "1,\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nx : y\r\n\r\n",
        "0\r\nx: y\n\r\n",
        "0\r\nx\r\n\r\n",
        "0\r\n\n",
        "x",
    ] {
        assert_eq!(chunked(broken.as_bytes()), Err(BadRequest::Chunk), "{broken:?}");
    }
}

#[test]
fn what_chunks_say_beside_their_data_is_bounded() {
    let long = [&b"1;"[..], &[b'x'; 2000]].concat();
    assert_eq!(chunked(&long), Err(BadRequest::Chunk));
    let many = format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(20);
    assert_eq!(chunked(many.as_bytes()), Err(BadRequest::Chunk));
    let trailers = format!("0\r\n{}\r\n", "x: y\r\n".repeat(101));
    assert_eq!(chunked(trailers.as_bytes()), Err(BadRequest::HeadTooLarge));
    let small = Limits { body: Some(3), ..Limits::default() };
    let body = |bytes| decode(Framing::Chunked, &small, &[bytes]);
    assert_eq!(body(b"7fffffffffffffff\r\n"), Ok(None));
    assert!(body(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").unwrap().is_some());
    assert_eq!(body(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"), Err(BadRequest::BodyTooLarge));
    let announced = BodyDecoder::new(Framing::Length(4), &small);
    assert_eq!(announced.unwrap_err(), BadRequest::BodyTooLarge);
}

/// Any bytes, but more often those that mean something in a head.
fn bytes_of_a_head() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        &b"GET "[..],
        b"/",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b"host: a\r\n",
        b"\r\n\r\n",
        b":",
        b" ",
        b"content-length: 1\r\n",
        b"transfer-encoding: chunked\r\n",
        b"x: y\r\n",
        b"\0",
    ]);
    let word = prop_oneof![9 => words.prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..4)];
    vec(word, 0..16).prop_map(|words| words.concat())
}

/// The parts between these places.
fn split<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn the_end_of_a_head_is_found_in_any_pieces(
        bytes in bytes_of_a_head(),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let limits = Limits::default();
        let whole = Scan::default().end(&bytes, &limits);
        let (mut scan, mut seen) = (Scan::default(), 0);
        let mut found = Ok(None);
        for piece in split(&bytes, &cuts) {
            seen += piece.len();
            found = scan.end(&bytes[..seen], &limits);
            if found != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(found, whole);
        let _ = read(&bytes, &limits);
    }

    #[test]
    fn fields_are_read_as_they_were_written(
        fields in vec(("[a-wyzA-WYZ-]{1,12}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..20),
    ) {
        let lines: String = fields.iter().map(|(name, value)| format!("x{name}:{value} \r\n")).collect();
        let bytes = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
        let (mut room, limits) = (Fields::new(), Limits::default());
        let head = Head::parse(bytes.as_bytes(), &mut room, &limits).unwrap();
        prop_assert_eq!(head.version, Version::HTTP_11);
        let seen: Vec<_> = head.fields().skip(1).collect();
        let names: Vec<_> = fields.iter().map(|(name, _)| format!("x{name}")).collect();
        let written = names.iter().zip(&fields).map(|(name, (_, value))| (&name[..], value.as_bytes()));
        prop_assert_eq!(seen, written.collect::<Vec<_>>());
    }

    #[test]
    fn a_chunked_body_is_read_in_any_pieces(
        chunks in vec(vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z=\" ]{0,9})?",
        trailer in "[a-z]{0,9}",
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend(format!("{:X}{extension}\r\n", chunk.len()).bytes());
            wire.extend(chunk.iter().chain(b"\r\n"));
        }
        wire.extend(format!("0\r\nx: {trailer}\r\n\r\nGET").bytes());
        let pieces = split(&wire, &cuts);
        let decoded = decode(Framing::Chunked, &Limits::default(), &pieces).unwrap();
        let (body, trailers, rest) = decoded.unwrap();
        prop_assert_eq!(body, chunks.concat());
        prop_assert_eq!(&trailers["x"], &trailer);
        prop_assert_eq!(&rest[..], b"GET");
    }

    #[test]
    fn chunks_of_any_bytes_do_no_harm(
        bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(b"\r\n0123;x:".to_vec())], 0..60),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let limits = Limits::default();
        let whole = decode(Framing::Chunked, &limits, &[&bytes]);
        let pieces = decode(Framing::Chunked, &limits, &split(&bytes, &cuts));
        prop_assert_eq!(pieces.is_err(), whole.is_err());
        if let (Ok(pieces), Ok(whole)) = (pieces, whole) {
            prop_assert_eq!(pieces, whole);
        }
    }
}
