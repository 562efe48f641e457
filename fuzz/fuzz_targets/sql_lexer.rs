//! The lexer and what it finds: any bytes, and a SET that no string or comment hides is always seen.
#![no_main]

use howdah::sql::{Lexer, Shape, marks, mentions_own, normalise, own_command, tags, touched, traits};
use howdah::wire::bind_values;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    tags(data, |key, value| assert!(!key.is_empty() && value.len() <= data.len() * 3));
    assert!(bind_values(data).len() <= data.len());
    for standard_strings in [true, false] {
        assert!(Lexer::new(data, standard_strings).count() <= data.len());
        if let Some(which) = traits(data, standard_strings).deallocate {
            let _ = which.name();
        }
        let behind = [b"set x = 1; ", data].concat();
        assert!(traits(&behind, standard_strings).leaves.any());
        assert!(touched(&behind, standard_strings).is_some_and(|t| t.names.iter().any(|n| &**n == "x")));
        let _ = touched(data, standard_strings);
        let _ = marks(data, standard_strings);
        assert!(Shape::new(data, standard_strings).text.len() <= 3 * Shape::MAX_TEXT);
        assert!(normalise(data, standard_strings).len() <= 4 * data.len() + 8);
        assert!(own_command(data, standard_strings).is_none() || mentions_own(data, standard_strings));
    }
});
