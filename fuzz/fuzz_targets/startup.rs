//! The first packet of a connection, and the readers of single messages.
#![no_main]

use howdah::wire::{ErrorFields, bind_head, parameter_status, parse, read_startup, startup_length, target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(len)) = startup_length(data) {
        if let Some(packet) = data.get(..len) {
            let _ = read_startup(packet);
        }
    }
    let _ = read_startup(data);
    if let Ok(read) = parse(data) {
        assert_eq!(read.name.len() + 1 + read.body.len(), data.len());
    }
    if let Some(read) = bind_head(data) {
        assert!(read.rest <= data.len());
    }
    let _ = target(data);
    let _ = parameter_status(data);
    let _ = ErrorFields::read(data);
});
