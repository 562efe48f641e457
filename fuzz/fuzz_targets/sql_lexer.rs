//! The lexer and what it finds: any bytes, and a SET that no string or comment hides is always seen.
#![no_main]

use howdah::sql::{Lexer, touched, traits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for standard_strings in [true, false] {
        assert!(Lexer::new(data, standard_strings).count() <= data.len());
        if let Some(which) = traits(data, standard_strings).deallocate {
            let _ = which.name();
        }
        let behind = [b"set x = 1; ", data].concat();
        assert!(traits(&behind, standard_strings).changes_session);
        assert!(touched(&behind, standard_strings).is_some_and(|t| t.names.iter().any(|n| &**n == "x")));
        let _ = touched(data, standard_strings);
    }
});
