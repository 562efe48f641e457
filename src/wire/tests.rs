#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn head(side: Side, tag: u8, len: i32) -> Result<Option<Frame>, FrameError> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&len.to_be_bytes());
    header(side, &bytes)
}

#[test]
fn lengths_that_lie_are_refused() {
    for len in [0, 3, -1, i32::MIN] {
        assert_eq!(head(Side::Frontend, b'Q', len), Err(FrameError::BadLength(b'Q', len)));
    }
    assert_eq!(
        head(Side::Frontend, b'Q', i32::MAX),
        Err(FrameError::TooLong(b'Q', usize::try_from(i32::MAX).unwrap()))
    );
    assert_eq!(head(Side::Frontend, b'S', 10_001), Err(FrameError::TooLong(b'S', 10_001)));
    assert_eq!(head(Side::Frontend, b'S', 4), Ok(Some(Frame { tag: b'S', len: 5 })));
    assert_eq!(head(Side::Frontend, b'?', 4), Err(FrameError::UnknownType(b'?')));
    assert_eq!(header(Side::Frontend, b"?"), Err(FrameError::UnknownType(b'?')));
    assert_eq!(header(Side::Frontend, b"Q\0\0"), Ok(None));
    assert_eq!(header(Side::Backend, b""), Ok(None));
}

#[test]
fn parse_reads_exactly_its_body() {
    let mut out = Vec::new();
    parse_into(&mut out, b"s1", b"select $1\0\0\x01\0\0\0\x17");
    let read = parse(&out[5..]).unwrap();
    assert_eq!((read.name, read.query), (&b"s1"[..], &b"select $1"[..]));
    for cut in 5..out.len() {
        assert!(parse(&out[5..cut]).is_err(), "cut at {cut}");
    }
    out.push(0);
    assert!(parse(&out[5..]).is_err());
}

#[test]
fn bind_head_needs_both_names() {
    let mut out = Vec::new();
    bind(&mut out, b"stmt", &[b"1", b"two"]);
    let read = bind_head(&out[5..]).unwrap();
    assert_eq!((read.portal, read.statement, read.rest), (&b""[..], &b"stmt"[..], 6));
    assert_eq!(bind_head(b"portal\0stm"), None);
}

#[test]
fn rows_read_exactly_their_body() {
    let description = [&b"\0\x01id\0"[..], &[7; 18]].concat();
    assert_eq!(column_names(&description), Ok(vec![&b"id"[..]]));
    assert_eq!(column_names(b"\0\0"), Ok(vec![]));
    let row = b"\0\x03\0\0\0\x02ab\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(fields(row), Ok(vec![Some(&b"ab"[..]), None, Some(b"")]));
    for cut in 0..description.len() {
        assert!(column_names(&description[..cut]).is_err(), "cut at {cut}");
    }
    for cut in 0..row.len() {
        assert!(fields(&row[..cut]).is_err(), "cut at {cut}");
    }
    assert!(column_names(&[&description[..], b"x"].concat()).is_err());
    assert!(fields(&[&row[..], b"x"].concat()).is_err());
    assert!(fields(b"\0\x01\xff\xff\xff\xfe").is_err());
    assert!(fields(b"\0\x01\x7f\xff\xff\xffx").is_err());
}

#[test]
fn targets() {
    assert_eq!(target(b"Sname\0"), Ok(Target::Statement(b"name")));
    assert_eq!(target(b"P\0"), Ok(Target::Portal(b"")));
    for bad in [&b""[..], b"S", b"Sname", b"Xname\0", b"Sname\0x"] {
        assert!(target(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn startup_packets() {
    let mut out = Vec::new();
    startup_message(&mut out, &[("user", "u"), ("database", "d"), ("user", "v")]);
    assert_eq!(startup_length(&out), Ok(Some(out.len())));
    let StartupPacket::Startup(startup) = read_startup(&out).unwrap() else { panic!("not a startup") };
    assert_eq!(startup.version, PROTOCOL_3_0);
    assert_eq!((startup.param("user"), startup.param("database")), (Some("v"), Some("d")));
    // Without its terminator, and with a byte after it.
    assert!(read_startup(&out[..out.len() - 1]).is_err());
    out.push(0);
    assert!(read_startup(&out).is_err());

    for len in [-1_i32, 0, 3, 7, 10_001, i32::MAX] {
        assert!(startup_length(&len.to_be_bytes()).is_err(), "{len}");
    }
    let mut out = Vec::new();
    cancel_request(&mut out, 7, &[1; 32]);
    assert_eq!(read_startup(&out), Ok(StartupPacket::Cancel(CancelRequest { pid: 7, secret: vec![1; 32] })));
    let mut out = Vec::new();
    ssl_request(&mut out);
    assert_eq!(read_startup(&out), Ok(StartupPacket::Ssl));
}

#[test]
fn errors_have_their_fields() {
    let bytes = PgError::fatal("57P01", "bye\0bye").detail("d").hint("h").to_bytes();
    let frame = header(Side::Backend, &bytes).unwrap().unwrap();
    assert_eq!(frame.len, bytes.len());
    let fields = ErrorFields::read(&bytes[5..]);
    assert_eq!((fields.sqlstate, fields.message), (&b"57P01"[..], &b"byebye"[..]));
    assert!(fields.ends_connection());
    // An ErrorResponse without SQLSTATE, without anything, without an end.
    assert_eq!(ErrorFields::read(b"SERROR\0Mx\0\0").sqlstate, b"");
    assert_eq!(ErrorFields::read(b"\0"), ErrorFields::default());
    assert_eq!(ErrorFields::read(b"C42"), ErrorFields::default());
}

proptest! {
    #[test]
    fn no_reader_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = header(Side::Frontend, &bytes);
        let _ = header(Side::Backend, &bytes);
        let _ = parse(&bytes);
        let _ = bind_head(&bytes);
        let _ = target(&bytes);
        let _ = startup_length(&bytes);
        let _ = read_startup(&bytes);
        let _ = parameter_status(&bytes);
        let _ = ErrorFields::read(&bytes);
    }

    #[test]
    fn a_written_parse_reads_back(name in "[a-z]{0,9}", query in "[^\0]{0,60}", types in proptest::collection::vec(any::<u32>(), 0..9)) {
        let mut body = query.clone().into_bytes();
        body.push(0);
        body.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
        for t in types { body.extend_from_slice(&t.to_be_bytes()); }
        let mut out = Vec::new();
        parse_into(&mut out, name.as_bytes(), &body);
        prop_assert_eq!(header(Side::Frontend, &out).unwrap().unwrap().len, out.len());
        let read = parse(&out[5..]).unwrap();
        prop_assert_eq!(read.name, name.as_bytes());
        prop_assert_eq!(read.query, query.as_bytes());
    }
}
