//! Whatever a server sends while replies are due: each message fits, is swallowed or breaks the connection.
#![no_main]

use std::sync::Arc;

use howdah::pool::Interner;
use howdah::session::{Action, ClientSession, Mode, Noted, ServerSession, Shapes, Verdict};
use howdah::sql::Shape;
use howdah::wire::{self, Side, header};
use libfuzzer_sys::fuzz_target;

/// Its statements are measured, with their values.
#[derive(Debug)]
struct All;

impl Shapes for All {
    fn noted(&self, text: &[u8], standard_strings: bool) -> Noted {
        Noted { shape: Arc::new(Shape::new(text, standard_strings)), tags: None, values: 0 }
    }

    fn keeps_values(&self) -> bool {
        true
    }
}

/// Batches that a client may have in flight.
fn asked(which: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let parse = |out: &mut Vec<u8>, name: &[u8], text: &[u8]| {
        wire::parse_into(out, name, &[text, &[0, 0, 0]].concat())
    };
    match which % 5 {
        0 => wire::query(&mut out, b"SELECT 1"),
        1 | 4 => {
            parse(&mut out, b"a", if which % 5 == 1 { b"SELECT 1" } else { b"DISCARD ALL" });
            wire::bind(&mut out, b"a", &[]);
            wire::execute(&mut out);
            wire::sync(&mut out);
        }
        2 => parse(&mut out, b"", b"SELECT 1"),
        _ => {
            wire::bind(&mut out, b"b", &[]);
            wire::close_statement(&mut out, b"b");
            wire::sync(&mut out);
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, mut rest)) = data.split_first() else { return };
    let mut client = ClientSession::new(Mode::Pooled, Default::default());
    let mut server = ServerSession::new(2);
    client.measure(Some(Arc::new(All)));
    server.begin_timing(0, 0);
    let interner = Interner::default();
    let (mut out, mut replies) = (Vec::new(), Vec::new());
    let asked = asked(which);
    let mut asked = asked.as_slice();
    while let Ok(Some(head)) = header(Side::Frontend, asked) {
        let (frame, tail) = asked.split_at(head.len);
        let verdict = client.with_server(&mut server, frame, head.len, &mut out, &mut replies, &interner);
        assert!(matches!(verdict, Ok(Verdict::Forward | Verdict::Rewritten(_))), "{verdict:?}");
        asked = tail;
    }
    assert!(asked.is_empty());
    while let Ok(Some(head)) = header(Side::Backend, rest) {
        let here = head.len.min(rest.len());
        if here < head.len && server.needs_body(head.tag) {
            return;
        }
        let (message, tail) = rest.split_at(here);
        match server.on_backend(&mut client, head.tag, &message[5..]) {
            Err(_) | Ok(Action::Lost(..)) => return,
            Ok(Action::Replay) => {
                client.replay(&mut server, &mut out, &mut replies, &interner).expect("frames judged before");
            }
            Ok(_) => {}
        }
        server.own_replies(&mut replies);
        server.begin_healing(&mut out);
        rest = tail;
    }
    if server.is_free() {
        assert_eq!(server.status(), b'I');
    }
});
