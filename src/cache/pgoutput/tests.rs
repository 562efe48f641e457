#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::wire::Malformed;

fn begin(xid: u32) -> Vec<u8> {
    [&b"B"[..], &[0; 16], &xid.to_be_bytes()].concat()
}

fn commit(end: u64) -> Vec<u8> {
    [&b"C\0"[..], &[0; 8], &end.to_be_bytes(), &[0; 8]].concat()
}

fn relation(id: u32, schema: &str, name: &str, columns: u16) -> Vec<u8> {
    let mut out = [&b"R"[..], &id.to_be_bytes(), schema.as_bytes(), b"\0", name.as_bytes(), b"\0d"].concat();
    out.extend_from_slice(&columns.to_be_bytes());
    for _ in 0..columns {
        out.extend_from_slice(b"\x01column\0\0\0\0\x17\xff\xff\xff\xff");
    }
    out
}

fn row(kind: u8, id: u32, next: u8) -> Vec<u8> {
    [&[kind][..], &id.to_be_bytes(), &[next], b"\0\x01t\0\0\0\x01x"].concat()
}

fn truncate(ids: &[u32]) -> Vec<u8> {
    let count = u32::try_from(ids.len()).unwrap();
    let mut out = [&b"T"[..], &count.to_be_bytes(), b"\0"].concat();
    for id in ids {
        out.extend_from_slice(&id.to_be_bytes());
    }
    out
}

fn message(transactional: bool, prefix: &str, content: &[u8]) -> Vec<u8> {
    let len = u32::try_from(content.len()).unwrap();
    [&[b'M', u8::from(transactional)][..], &[0; 8], prefix.as_bytes(), b"\0", &len.to_be_bytes(), content]
        .concat()
}

/// The body of a `CopyData`, as much of it as is asked for.
fn wrapped(payload: &[u8]) -> Vec<u8> {
    let whole = [&b"w"[..], &[0; 24], payload].concat();
    let needed = enough(&whole, whole.len()).unwrap();
    whole[..needed].to_vec()
}

fn run(payloads: &[Vec<u8>]) -> Result<Vec<Event>, Malformed> {
    let mut transactions = Transactions::default();
    let mut events = Vec::new();
    for payload in payloads {
        let body = wrapped(payload);
        let Data::Change(payload) = read_data(&body)? else { panic!("not a change") };
        events.extend(transactions.on_change(payload)?);
    }
    Ok(events)
}

fn names(event: &Event) -> Vec<String> {
    let Event::Committed(committed) = event else { panic!("{event:?}") };
    committed.tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect()
}

#[test]
fn a_transaction_tells_each_table_once() {
    let events = run(&[
        begin(7),
        relation(1, "public", "orders", 2),
        row(b'I', 1, b'N'),
        row(b'U', 1, b'N'),
        relation(2, "shop", "Odd \"Name\"", 0),
        row(b'U', 2, b'K'),
        row(b'D', 1, b'O'),
        b"Yanything".to_vec(),
        b"Oanything".to_vec(),
        commit(99),
        begin(8),
        row(b'D', 2, b'K'),
        truncate(&[1, 2]),
        commit(100),
        begin(9),
        commit(101),
    ])
    .unwrap();
    assert_eq!(names(&events[0]), ["public.orders", "shop.Odd \"Name\""]);
    assert_eq!(names(&events[1]), ["shop.Odd \"Name\"", "public.orders"]);
    assert_eq!(names(&events[2]), [""; 0]);
    let Event::Committed(first) = &events[0] else { panic!() };
    assert_eq!((first.xid, first.end), (7, 99));
}

#[test]
fn a_table_renamed_within_its_transaction_was_written_by_both_names() {
    let events = run(&[
        begin(1),
        relation(5, "public", "before", 1),
        row(b'I', 5, b'N'),
        relation(5, "", "after", 1),
        row(b'I', 5, b'N'),
        commit(2),
    ]);
    assert_eq!(names(&events.unwrap()[0]), ["public.before", "pg_catalog.after"]);
}

#[test]
fn messages_of_howdah_are_told_and_others_passed_over() {
    let long = "x".repeat(300);
    let events = run(&[
        message(false, "howdah", b"at once"),
        message(false, "other", b"at once"),
        message(false, &long, b""),
        message(false, "howdah", long.as_bytes()),
        begin(1),
        message(true, "howdah", b"ddl"),
        message(true, "how", b"ddl"),
        message(true, "howdah", &[b'y'; 1000]),
        message(true, "howdah", b""),
        commit(2),
    ])
    .unwrap();
    assert_eq!(events[0], Event::Message(b"at once"[..].into()));
    let Event::Committed(committed) = &events[1] else { panic!("{events:?}") };
    assert_eq!(committed.messages, [b"ddl"[..].into(), b""[..].into()]);
    assert_eq!(events.len(), 2);
}

#[test]
fn what_cannot_be_followed_is_an_error() {
    let cases: [(&[Vec<u8>], &str); 10] = [
        (&[row(b'I', 1, b'N')], "a row outside of a transaction"),
        (&[begin(1), row(b'I', 1, b'N')], "a row of a table that was not named"),
        (&[begin(1), truncate(&[4])], "a row of a table that was not named"),
        (&[begin(1), begin(2)], "Begin within a transaction"),
        (&[commit(1)], "Commit without a Begin"),
        (&[message(true, "howdah", b"x")], "Message outside of its transaction"),
        (&[begin(1), row(b'I', 1, b'K')], "Insert is cut short, or has no new row"),
        (&[b"S".to_vec()], "a change of an unknown kind"),
        (&[vec![]], "an empty change"),
        (&[[&relation(1, "s", "t", 1)[..], b"x"].concat()], "Relation is cut short"),
    ];
    for (payloads, error) in cases {
        assert_eq!(run(payloads), Err(Malformed(error)), "{payloads:?}");
    }
    let latin = [&b"R\0\0\0\x01\0"[..], b"\xe9\0d\0\0"].concat();
    assert_eq!(run(&[latin]), Err(Malformed("Relation: a name is not UTF-8")));
}

#[test]
fn every_message_fails_on_a_byte_too_few() {
    let whole = [
        begin(1),
        commit(1),
        relation(1, "s", "t", 3),
        truncate(&[1, 2]),
        message(true, "howdah", b"content"),
    ];
    for payload in &whole {
        assert!(read_change(payload).is_ok());
        for cut in 0..payload.len() {
            assert!(read_change(&payload[..cut]).is_err(), "{payload:?} up to {cut}");
        }
        if payload[0] != b'M' {
            assert!(read_change(&[payload, &b"x"[..]].concat()).is_err());
        }
    }
    for kind in [b'I', b'U', b'D'] {
        let payload = row(kind, 3, if kind == b'D' { b'O' } else { b'N' });
        for cut in 0..payload.len() {
            assert_eq!(read_change(&payload[..cut]).is_ok(), cut >= 6, "{cut}");
        }
    }
}

#[test]
fn keepalives_are_read() {
    let alive = [&b"k"[..], &77_u64.to_be_bytes(), &[0; 8], &[1]].concat();
    assert_eq!(read_data(&alive), Ok(Data::Alive { end: 77, reply: true }));
    for cut in 0..alive.len() {
        assert!(read_data(&alive[..cut]).is_err());
    }
    assert!(read_data(&[&alive[..], b"x"].concat()).is_err());
    assert!(read_data(b"p").is_err());
}

#[test]
fn a_status_update_says_one_position_three_times() {
    let mut out = Vec::new();
    status_update(&mut out, 0x0102_0304_0506_0708, 9);
    let position = [1, 2, 3, 4, 5, 6, 7, 8];
    let expected =
        [&b"d\0\0\0\x26r"[..], &position, &position, &position, &[0, 0, 0, 0, 0, 0, 0, 9], b"\0"].concat();
    assert_eq!(out, expected);
}

#[test]
fn of_rows_only_the_head_is_wanted() {
    let len = 1 << 30;
    for kind in b"IUD" {
        assert_eq!(enough(&[&b"w"[..], &[0; 24], &[*kind]].concat(), len), Some(31));
    }
    assert_eq!(enough(&[&b"w"[..], &[0; 24], b"M"].concat(), len), Some(25 + 256));
    assert_eq!(enough(&[&b"w"[..], &[0; 24], b"R"].concat(), 500), Some(500));
    assert_eq!(enough(b"k", 18), Some(18));
    assert_eq!(enough(b"w", 500), None);
    assert_eq!(enough(b"", 500), None);
}

/// What a transaction of the property test does.
#[derive(Clone, Debug)]
enum Step {
    Row(u8, u32),
    Truncate(Vec<u32>),
    Message(bool, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_u8, 0..6_u32).prop_map(|(kind, id)| Step::Row(kind, id)),
        proptest::collection::vec(0..6_u32, 0..4).prop_map(Step::Truncate),
        (any::<bool>(), any::<bool>()).prop_map(|(inside, own)| Step::Message(inside, own)),
    ]
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_or_refused(payloads in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let mut transactions = Transactions::default();
        for payload in &payloads {
            let _ = read_data(payload);
            let _ = transactions.on_change(payload);
        }
    }

    #[test]
    fn each_transaction_tells_what_it_wrote(work in proptest::collection::vec(proptest::collection::vec(step(), 0..12), 0..8)) {
        let mut payloads = Vec::new();
        let mut named = BTreeSet::new();
        let mut expected = Vec::new();
        for (number, steps) in work.iter().enumerate() {
            let xid = u32::try_from(number).unwrap();
            payloads.push(begin(xid));
            let (mut tables, mut messages) = (BTreeSet::new(), 0);
            for step in steps {
                let touched = match step {
                    Step::Row(_, id) => vec![*id],
                    Step::Truncate(ids) => ids.clone(),
                    Step::Message(..) => vec![],
                };
                for id in &touched {
                    if named.insert(*id) {
                        payloads.push(relation(*id, "s", &format!("t{id}"), 1));
                    }
                    tables.insert(format!("s.t{id}"));
                }
                match step {
                    Step::Row(kind, id) => {
                        let (kind, next) = [(b'I', b'N'), (b'U', b'O'), (b'D', b'K')][usize::from(*kind)];
                        payloads.push(row(kind, *id, next));
                    }
                    Step::Truncate(ids) => payloads.push(truncate(ids)),
                    Step::Message(own, transactional) => {
                        let prefix = if *own { "howdah" } else { "other" };
                        payloads.push(message(*transactional, prefix, b"m"));
                        messages += usize::from(*own && *transactional);
                    }
                }
            }
            payloads.push(commit(u64::from(xid) + 1));
            expected.push((xid, tables, messages));
        }
        let events = run(&payloads).unwrap();
        let seen: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Committed(done) => {
                    let told = names(event);
                    let tables: BTreeSet<String> = told.iter().cloned().collect();
                    assert_eq!(tables.len(), told.len(), "each once");
                    Some((done.xid, tables, done.messages.len()))
                }
                Event::Message(_) => None,
            })
            .collect();
        prop_assert_eq!(seen, expected);
    }
}
