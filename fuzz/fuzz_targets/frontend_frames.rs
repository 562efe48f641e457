//! Whatever a client sends after login: frames are split, judged without and with a server connection, and what
//! goes to the server is well-formed.
#![no_main]

use std::sync::Arc;

use howdah::pool::Interner;
use howdah::session::{ClientSession, Mode, Noted, ServerSession, Shapes, Verdict};
use howdah::sql::Shape;
use howdah::wire::{Side, header};
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

fuzz_target!(|data: &[u8]| {
    let Some((&mode, mut rest)) = data.split_first() else { return };
    let mode = [Mode::Pooled, Mode::Exclusive, Mode::PooledWithoutStatements][usize::from(mode) % 3];
    let mut client = ClientSession::new(mode, Default::default());
    let mut server = ServerSession::new(2);
    client.measure(Some(Arc::new(All)));
    server.begin_timing(0, 0);
    let interner = Interner::default();
    let (mut out, mut replies) = (Vec::new(), Vec::new());
    while let Ok(Some(head)) = header(Side::Frontend, rest) {
        let here = head.len.min(rest.len());
        let (frame, tail) = rest.split_at(here);
        let whole = here == head.len;
        let verdict = client.without_server(frame, &mut replies);
        if !matches!(verdict, Ok(Verdict::NeedServer)) && whole {
            rest = tail;
            continue;
        }
        match client.with_server(&mut server, frame, head.len, &mut out, &mut replies, &interner) {
            Ok(Verdict::Forward) => out.extend_from_slice(frame),
            Ok(Verdict::Rewritten(n)) => out.extend_from_slice(frame.get(n..).unwrap_or_default()),
            Ok(_) => {}
            Err(_) => return,
        }
        if !whole {
            return;
        }
        rest = tail;
    }
    // Every frame that goes out can be split again, to the last byte.
    let mut sent = out.as_slice();
    while !sent.is_empty() {
        let head = header(Side::Frontend, sent).expect("a frame").expect("a whole header");
        sent = sent.get(head.len..).expect("a whole frame");
    }
});
