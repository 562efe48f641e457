//! What a server may send on a logical replication stream. The input is a row of `CopyData` bodies, each behind two
//! bytes of its length.
#![no_main]

use howdah::cache::pgoutput::{Data, Transactions, enough, read_data};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut transactions = Transactions::default();
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(tail.len());
        let (body, after) = tail.split_at(len);
        rest = after;
        // As much of it as is asked for says the same as all of it, unless all of it is too short.
        let needed = enough(body, len).unwrap_or(len);
        assert!(needed <= len);
        if let Ok(Data::Change(payload)) = read_data(&body[..needed]) {
            if transactions.on_change(payload).is_err() {
                transactions = Transactions::default();
            }
        }
    }
});
