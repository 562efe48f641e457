//! SCRAM messages from either side.
#![no_main]

use std::sync::LazyLock;

use howdah::auth::scram::Mechanism;
use howdah::auth::scram::client::{Binding, start};
use howdah::auth::scram::server::{AwaitClientFirst, ServerSecret};
use howdah::auth::{ScramVerifier, Verifier};
use libfuzzer_sys::fuzz_target;

static VERIFIER: LazyLock<ScramVerifier> =
    LazyLock::new(|| ScramVerifier::derive(b"secret", b"0123456789abcdef", 1).expect("a verifier"));

fuzz_target!(|data: &[u8]| {
    let (first, second) = data.split_at(data.len() / 2);
    let server = |binding| {
        AwaitClientFirst::new(Mechanism::ScramSha256, binding, ServerSecret::known(VERIFIER.clone())).expect("a state")
    };
    for binding in [None, Some(&b"hash"[..])] {
        for (first, second) in [(first, second), (&b"n,,n=,r=abc"[..], data)] {
            if let Ok((_, state)) = server(binding).client_first(first) {
                assert!(state.client_final(second).is_err(), "nobody knows the password");
            }
        }
    }
    let (_, state) = start(Binding::Unsupported).expect("a nonce");
    assert!(state.server_first(data).is_err(), "nobody knows our nonce");
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Verifier::parse(text);
    }
});
