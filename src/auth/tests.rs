//! Test vectors of RFC 7677, verifiers that Postgres 15 made, both sides against each other, and bad messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;

use super::scram::Mechanism::{self, ScramSha256, ScramSha256Plus};
use super::scram::client::{self, Binding, Credentials};
use super::scram::server::{AwaitClientFinal, AwaitClientFirst, MockKey, ServerSecret};
use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
                      wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// Made by Postgres 15's `CREATE ROLE … PASSWORD`: plain ASCII; mapped and normalised; not preparable, so raw.
const FROM_POSTGRES: [(&str, &str); 3] = [
    (
        "pencil",
        "SCRAM-SHA-256$4096:mdRdS3nAMZoPiQ6cbRSvPg==$PSLc8NG2FK4FHaimPPls90Oeiuwl3D6i7CzpIjCBlac=:\
         uhGPO99zFY8B70r23XOXXfqHHeyaOg3VpXWYO4SnnZQ=",
    ),
    (
        "IX ⅸ ªo\u{ad}",
        "SCRAM-SHA-256$4096:SMSvbse77wjjDmxkU+/nwA==$ZmJ0C9tO3VmRTR0D84tuvmfhrOfvBNHzuS5zdeTRDqU=:\
         gfsjqMaPPg8QESWrQudbG2OMXeYuytnMjeHrppg4g+o=",
    ),
    (
        "ﬁpäss🐘",
        "SCRAM-SHA-256$4096:5ICoNK1Bd0RCFt40fsKgHQ==$QhxLErlbQmKCDCl59wjB6SFwqcBQTtcPyNd3JFaM9Ic=:\
         B5cffmoTpZ37Ubc4d1JqIoEBMRn7bN6ExHrodSBem1k=",
    ),
];

fn pencil() -> ServerSecret {
    ServerSecret::known(ScramVerifier::parse(PENCIL).unwrap())
}

fn server(mechanism: Mechanism, binding: Option<&[u8]>) -> AwaitClientFirst {
    AwaitClientFirst::new(mechanism, binding, pencil()).unwrap().with_nonce(SERVER_NONCE)
}

fn first(message: &[u8]) -> Result<(String, AwaitClientFinal), AuthError> {
    server(ScramSha256, None).client_first(message)
}

/// A server that has sent RFC 7677's server-first-message.
fn waiting_for_final() -> AwaitClientFinal {
    first(format!("n,,n=user,r={CLIENT_NONCE}").as_bytes()).unwrap().1
}

fn server_first(message: &[u8]) -> Result<client::Challenge, AuthError> {
    client::start_with(Binding::Unsupported, "user", CLIENT_NONCE.into()).1.server_first(message)
}

/// A whole login; the keys the server end learned.
fn log_in(
    secret: ServerSecret,
    credentials: Credentials<'_>,
    mechanism: Mechanism,
    offered: Option<&[u8]>,
    binding: Binding<'_>,
) -> Result<ScramKeys, AuthError> {
    let (message, client) = client::start(binding)?;
    let server = AwaitClientFirst::new(mechanism, offered, secret)?;
    let (message, server) = server.client_first(message.as_bytes())?;
    let (message, client) = client.server_first(message.as_bytes())?.answer_with(credentials)?;
    let (message, keys) = server.client_final(message.as_bytes())?;
    client.server_final(message.as_bytes())?;
    Ok(keys)
}

fn simple(secret: ServerSecret, password: &[u8]) -> Result<ScramKeys, AuthError> {
    log_in(secret, Credentials::Password(password), ScramSha256, None, Binding::Unsupported)
}

#[test]
fn rfc_7677_vector_on_the_server() {
    let (message, next) = first(format!("n,,n=user,r={CLIENT_NONCE}").as_bytes()).unwrap();
    assert_eq!(message, SERVER_FIRST);
    let (message, keys) = next.client_final(CLIENT_FINAL.as_bytes()).unwrap();
    assert_eq!(message, SERVER_FINAL);
    let expected = derive_keys(b"pencil", &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096).unwrap();
    assert_eq!(keys.client_key, expected.client_key);
    assert_eq!(keys.server_key, expected.server_key);
}

#[test]
fn rfc_7677_vector_on_the_client() {
    let (message, next) = client::start_with(Binding::Unsupported, "user", CLIENT_NONCE.into());
    assert_eq!(message, format!("n,,n=user,r={CLIENT_NONCE}"));
    let challenge = next.server_first(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(challenge.iterations(), 4096);
    let (message, next) = challenge.answer_with(Credentials::Password(b"pencil")).unwrap();
    assert_eq!(message, CLIENT_FINAL);
    next.server_final(SERVER_FINAL.as_bytes()).unwrap();
}

#[test]
fn verifiers_of_postgres_are_understood_and_printed_the_same() {
    for (password, text) in FROM_POSTGRES {
        let verifier = ScramVerifier::parse(text).unwrap();
        assert_eq!(verifier.to_string(), text);
        assert_eq!(
            ScramVerifier::derive(password.as_bytes(), verifier.salt(), verifier.iterations()).unwrap(),
            verifier,
            "{password}"
        );
        assert!(verifier.verify_password(password.as_bytes()));
        assert!(!verifier.verify_password(b"other"));
        simple(ServerSecret::known(verifier), password.as_bytes()).unwrap();
    }
}

#[test]
fn saslprep_cases() {
    let cases: [(&[u8], &[u8]); 9] = [
        (b"user", b"user"),
        ("I\u{ad}X".as_bytes(), b"IX"),
        ("\u{aa}".as_bytes(), b"a"),
        ("\u{2168}".as_bytes(), b"IX"),
        ("a\u{a0}b".as_bytes(), b"a b"),
        // Prohibited, mixed directions, unassigned, nothing left, not UTF-8: as it is.
        (b"\x07", b"\x07"),
        ("\u{627}1".as_bytes(), "\u{627}1".as_bytes()),
        ("\u{ad}".as_bytes(), "\u{ad}".as_bytes()),
        (b"\xff\xfe", b"\xff\xfe"),
    ];
    for (password, prepared) in cases {
        assert_eq!(prepare(password).as_slice(), prepared, "{password:?}");
    }
}

#[test]
fn md5_values() {
    let stored = md5_password("alice", b"secret");
    assert_eq!(stored, "md54a0a68b43b6cd5cf266fa02f196e2371");
    let answer = md5_response(&stored, [1, 2, 3, 4]);
    assert_eq!(answer, "md598a0412b9c31436fc53776e863350083");
    assert!(md5_check(&stored, [1, 2, 3, 4], answer.as_bytes()));
    assert!(!md5_check(&stored, [1, 2, 3, 5], answer.as_bytes()));
    assert!(!md5_check(&stored, [1, 2, 3, 4], b""));
}

#[test]
fn what_a_configured_password_is() {
    let md5 = Verifier::parse("md54a0a68b43b6cd5cf266fa02f196e2371").unwrap();
    assert!(matches!(md5, Verifier::Md5(_)));
    assert!(md5.verify_password("alice", b"secret"));
    assert!(!md5.verify_password("bob", b"secret"));
    assert!(md5.to_scram().unwrap().is_none());
    assert!(md5.to_md5("alice").is_some());

    let scram = Verifier::parse(PENCIL).unwrap();
    assert!(scram.verify_password("whoever", b"pencil"));
    assert!(!scram.verify_password("whoever", b"pencils"));
    assert!(scram.to_md5("alice").is_none());

    let plain = Verifier::parse("pencil").unwrap();
    assert!(plain.verify_password("whoever", b"pencil"));
    assert!(!plain.verify_password("whoever", b""));
    let made = plain.to_scram().unwrap().unwrap();
    assert_eq!((made.iterations(), made.salt().len()), (DEFAULT_ITERATIONS, SALT_LEN));
    assert!(simple(ServerSecret::known(made), b"pencil").is_ok());

    for plain in ["md5", "md54A0A68B43B6CD5CF266FA02F196E2371", "md54a0a68b43b6cd5cf266fa02f196e237"] {
        assert!(matches!(Verifier::parse(plain).unwrap(), Verifier::Plain(_)), "{plain}");
    }
    for bad in [
        "",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        &PENCIL.replace("4096", "0"),
        &PENCIL.replace("4096", "4294967296"),
        &PENCIL.replace("4096", "999999999"),
        &PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
        &PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "!"),
    ] {
        assert!(matches!(Verifier::parse(bad), Err(AuthError::BadVerifier(_))), "{bad}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let verifier = ScramVerifier::parse(PENCIL).unwrap();
    let keys = derive_keys(b"pencil", b"salt", 1).unwrap();
    let shown = format!(
        "{:?} {verifier:?} {keys:?} {:?} {:?} {:?}",
        Verifier::parse("pencil").unwrap(),
        Credentials::Password(b"pencil"),
        pencil(),
        waiting_for_final(),
    );
    assert!(!shown.contains("pencil") && !shown.contains("WG5d"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", keys.client_key)), "{shown}");
}

#[test]
fn a_wrong_password_fails() {
    assert_eq!(simple(pencil(), b"pencils").unwrap_err(), AuthError::WrongPassword);
    assert_eq!(AuthError::WrongPassword.sqlstate(), "28P01");
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let key = MockKey::generate().unwrap();
    let hello = format!("n,,n=,r={CLIENT_NONCE}");
    let salt = |key: &MockKey, user: &str| {
        let secret = ServerSecret::mock(key, user, DEFAULT_ITERATIONS);
        let server = AwaitClientFirst::new(ScramSha256, None, secret).unwrap().with_nonce("x");
        server.client_first(hello.as_bytes()).unwrap().0
    };
    assert_eq!(salt(&key, "nobody"), salt(&key, "nobody"));
    assert_ne!(salt(&key, "nobody"), salt(&key, "no one"));
    assert_ne!(salt(&key, "nobody"), salt(&MockKey::generate().unwrap(), "nobody"));
    assert!(salt(&key, "nobody").ends_with(",i=4096"));
    assert_eq!(salt(&key, "nobody").len(), SERVER_FIRST.len() - SERVER_NONCE.len() + 1);
    for password in ["", "pencil"] {
        let secret = ServerSecret::mock(&key, "nobody", DEFAULT_ITERATIONS);
        assert_eq!(simple(secret, password.as_bytes()).unwrap_err(), AuthError::WrongPassword);
    }
}

#[test]
fn keys_of_one_login_open_the_server_with_the_same_verifier() {
    let keys = simple(pencil(), b"pencil").unwrap();
    log_in(pencil(), Credentials::Keys(&keys), ScramSha256, None, Binding::Unsupported).unwrap();
    let other = ServerSecret::known(ScramVerifier::generate(b"pencil").unwrap());
    let refused = log_in(other, Credentials::Keys(&keys), ScramSha256, None, Binding::Unsupported);
    assert_eq!(refused.unwrap_err(), AuthError::WrongPassword);
}

#[test]
fn channel_binding() {
    let hash = [7u8; 32];
    let password = Credentials::Password(b"pencil");
    let plus = |binding| log_in(pencil(), password, ScramSha256Plus, Some(&hash), binding);
    plus(Binding::EndPoint(&hash)).unwrap();
    assert_eq!(plus(Binding::EndPoint(&[8u8; 32])).unwrap_err(), AuthError::ChannelBinding);
    assert!(matches!(plus(Binding::Unsupported), Err(AuthError::Malformed(_))));

    // Offered but not used is allowed; "you did not offer it" when we did is the mark of somebody in between.
    log_in(pencil(), password, ScramSha256, Some(&hash), Binding::Unsupported).unwrap();
    let cut = log_in(pencil(), password, ScramSha256, Some(&hash), Binding::NotOffered);
    assert_eq!(cut.unwrap_err(), AuthError::Downgrade);
    log_in(pencil(), password, ScramSha256, None, Binding::NotOffered).unwrap();
    let unoffered = log_in(pencil(), password, ScramSha256, None, Binding::EndPoint(&hash));
    assert!(matches!(unoffered, Err(AuthError::Malformed(_))));
    assert_eq!(AwaitClientFirst::new(ScramSha256Plus, None, pencil()).unwrap_err(), AuthError::Mechanism);

    assert_eq!(Binding::choose(true, Some(&hash)).mechanism(), ScramSha256Plus);
    assert_eq!(Binding::choose(false, Some(&hash)), Binding::NotOffered);
    assert_eq!(Binding::choose(true, None), Binding::Unsupported);
    assert_eq!(Mechanism::offered(false), [ScramSha256]);
    assert_eq!(Mechanism::parse(b"SCRAM-SHA-256-PLUS"), Ok(ScramSha256Plus));
    assert_eq!(Mechanism::parse(b"SCRAM-SHA-1"), Err(AuthError::Mechanism));
}

#[test]
fn bad_client_first_messages() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "x,,n=,r=abc",
        "n,,n=",
        "n,,n=,r=",
        "n,,r=abc",
        "n,,n=,r=a\u{7f}",
        "n,,n=,r=a b",
        "n,,n=,r=ä",
        "n,,n=,r=abc,5=x",
        "n,,n=,r=abc\0",
        "n n=,r=abc",
        "p=tls-server-end-point,,n=,r=abc",
    ] {
        assert!(matches!(first(message.as_bytes()), Err(AuthError::Malformed(_))), "{message:?}");
    }
    assert!(matches!(first(b"n,a=other,n=,r=abc"), Err(AuthError::Unsupported(_))));
    assert!(matches!(first(b"n,,m=x,n=,r=abc"), Err(AuthError::Unsupported(_))));
    assert!(first(b"n,,n=someone,r=abc,x=ignored").is_ok());
    for bad in ["p=tls-unique,,n=,r=a", "p=tls-server-end-pointless,,n=,r=a", "p=,,n=,r=a", "p,,n=,r=a"] {
        let result = server(ScramSha256Plus, Some(b"x")).client_first(bad.as_bytes());
        assert!(matches!(result, Err(AuthError::Malformed(_))), "{bad}");
    }
}

#[test]
fn bad_client_final_messages() {
    let proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let nonce = format!("r={CLIENT_NONCE}{SERVER_NONCE}");
    for message in [
        String::new(),
        "c=biws".into(),
        format!("c=biws,{nonce}"),
        format!("c=eSws,{nonce},{proof}"),
        format!("{nonce},{proof}"),
        format!("c=biws,r={CLIENT_NONCE},{proof}"),
        format!("c=biws,{nonce}x,{proof}"),
        format!("c=biws,{nonce},p=AAAA"),
        format!("c=biws,{nonce},p=!"),
        format!("c=biws,{nonce},p="),
        format!("c=biws,{nonce},{proof},x=1"),
    ] {
        let result = waiting_for_final().client_final(message.as_bytes());
        assert!(matches!(result, Err(AuthError::Malformed(_))), "{message}: {result:?}");
    }
    // An extension changes the text that is proved, so this proof is wrong, but the message is not.
    let extended = waiting_for_final().client_final(format!("c=biws,{nonce},x=1,{proof}").as_bytes());
    assert_eq!(extended.unwrap_err(), AuthError::WrongPassword);
}

#[test]
fn every_truncation_is_an_error() {
    let hello = format!("n,,n=user,r={CLIENT_NONCE}");
    for length in 0..hello.len() - CLIENT_NONCE.len() {
        assert!(first(&hello.as_bytes()[..length]).is_err());
    }
    for length in 0..CLIENT_FINAL.len() {
        assert!(waiting_for_final().client_final(&CLIENT_FINAL.as_bytes()[..length]).is_err());
    }
    for length in 0..=SERVER_FIRST.len() - "4096".len() {
        assert!(server_first(&SERVER_FIRST.as_bytes()[..length]).is_err(), "{length}");
    }
    for length in 0..SERVER_FINAL.len() {
        let challenge = server_first(SERVER_FIRST.as_bytes()).unwrap();
        let keys = derive_keys(b"x", b"x", 1).unwrap();
        let (_, next) = challenge.answer(&keys);
        assert!(next.server_final(&SERVER_FINAL.as_bytes()[..length]).is_err());
    }
}

#[test]
fn huge_messages_are_refused() {
    let huge = vec![b'a'; 10 << 20];
    let first_message = [b"n,,n=,r=", huge.as_slice()].concat();
    assert_eq!(first(&first_message).unwrap_err(), AuthError::TooLong);
    assert_eq!(waiting_for_final().client_final(&huge).unwrap_err(), AuthError::TooLong);
    let longest = [b"n,,n=,r=".as_slice(), &vec![b'a'; MAX_MESSAGE - 8]].concat();
    assert!(first(&longest).is_ok());

    let nonce = |length: usize| format!("r={CLIENT_NONCE}{},s=c2FsdA==,i=4096", "a".repeat(length));
    for length in [1 << 20, MAX_NONCE] {
        let result = server_first(nonce(length).as_bytes());
        assert!(matches!(result, Err(AuthError::ServerOutOfBounds(_))), "{result:?}");
    }
    assert!(server_first(nonce(MAX_NONCE - CLIENT_NONCE.len()).as_bytes()).is_ok());
}

#[test]
fn bad_server_first_messages() {
    let with = |rest: &str| server_first(format!("r={CLIENT_NONCE}{rest}").as_bytes()).map(|_| ());
    assert_eq!(with("x,s=c2FsdA==,i=1"), Ok(()));
    for rest in ["x,s=c2FsdA==,i=0", "x,s=,i=1", "x,s=c2FsdA==,i=600001"] {
        assert!(matches!(with(rest), Err(AuthError::ServerOutOfBounds(_))), "{rest}");
    }
    for rest in [
        ",s=c2FsdA==,i=1",
        "x,s=c2FsdA=,i=1",
        "x,s=c2FsdA==,i=",
        "x,s=c2FsdA==,i=-1",
        "x,s=c2FsdA==,i=+1",
        "x,s=c2FsdA==,i=99999999999",
        "x,s=c2FsdA==,i=1,x=1",
        "x,i=1,s=c2FsdA==",
        "x y,s=c2FsdA==,i=1",
        "ä,s=c2FsdA==,i=1",
    ] {
        assert!(matches!(with(rest), Err(AuthError::ServerMalformed(_))), "{rest}");
    }
    let foreign = server_first(b"r=someoneelsesnonce,s=c2FsdA==,i=1");
    assert!(matches!(foreign, Err(AuthError::ServerMalformed(_))));
    let salt = BASE64.encode(vec![1u8; MAX_SALT + 1]);
    assert!(matches!(with(&format!("x,s={salt},i=1")), Err(AuthError::ServerOutOfBounds(_))));
}

#[test]
fn a_server_that_does_not_know_the_password_is_found_out() {
    let answered = || {
        let challenge = server_first(SERVER_FIRST.as_bytes()).unwrap();
        challenge.answer_with(Credentials::Password(b"pencil")).unwrap().1
    };
    let wrong = format!("v={}", BASE64.encode([0u8; 32]));
    assert_eq!(answered().server_final(wrong.as_bytes()), Err(AuthError::ServerSignature));
    assert_eq!(answered().server_final(b"v="), Err(AuthError::ServerSignature));
    assert_eq!(answered().server_final(b"e=other-error"), Err(AuthError::ServerRefused));
    assert!(matches!(answered().server_final(b""), Err(AuthError::ServerMalformed(_))));
    let longer = format!("{SERVER_FINAL},x=1");
    assert!(matches!(answered().server_final(longer.as_bytes()), Err(AuthError::ServerMalformed(_))));
}

#[test]
fn derived_keys_are_cached_up_to_a_bound() {
    let mut cache = KeyCache::new(2);
    let challenge = server_first(SERVER_FIRST.as_bytes()).unwrap();
    assert!(challenge.find(&mut cache, b"pencil").is_none());
    let keys = challenge.derive(b"pencil").unwrap();
    challenge.remember(&mut cache, b"pencil", &keys);
    challenge.remember(&mut cache, b"pencil", &keys);
    assert_eq!(cache.len(), 1);
    let found = challenge.find(&mut cache, b"pencil").unwrap();
    assert_eq!(challenge.answer(&found).0, CLIENT_FINAL);
    assert!(cache.find(b"pencil", b"other", 4096).is_none());
    cache.remember(b"b", b"salt", 1, &keys);
    assert!(cache.find(b"pencil", &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096).is_some());
    cache.remember(b"c", b"salt", 1, &keys);
    assert_eq!(cache.len(), 2);
    assert!(cache.find(b"b", b"salt", 1).is_none(), "the one not used for longest went");
}

#[test]
fn certificate_hashes() {
    let hash = |pem: &str| {
        let der = BASE64.decode(pem).unwrap();
        (channel_binding_hash(&der).unwrap(), der)
    };
    for (pem, algorithm) in
        [(SHA1_CERT, &digest::SHA256), (SHA512_CERT, &digest::SHA512), (PSS_SHA384_CERT, &digest::SHA384)]
    {
        let (found, der) = hash(pem);
        assert_eq!(found, digest::digest(algorithm, &der).as_ref());
    }
    let made = |algorithm| {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    };
    for (algorithm, expected) in
        [(&rcgen::PKCS_ECDSA_P256_SHA256, &digest::SHA256), (&rcgen::PKCS_ECDSA_P384_SHA384, &digest::SHA384)]
    {
        let der = made(algorithm);
        assert_eq!(channel_binding_hash(&der).unwrap(), digest::digest(expected, &der).as_ref());
    }
    assert_eq!(channel_binding_hash(&made(&rcgen::PKCS_ED25519)), Err(AuthError::Certificate));
    assert_eq!(channel_binding_hash(b""), Err(AuthError::Certificate));
    assert_eq!(channel_binding_hash(&[0x30; 100]), Err(AuthError::Certificate));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_sides_agree_on_any_password(password in "\\PC{1,40}", other in "[a-z]{41}") {
        let verifier = ScramVerifier::derive(password.as_bytes(), b"some salt", 2).unwrap();
        prop_assert_eq!(&ScramVerifier::parse(&verifier.to_string()).unwrap(), &verifier);
        prop_assert!(verifier.verify_password(password.as_bytes()));
        let keys = simple(ServerSecret::known(verifier.clone()), password.as_bytes());
        prop_assert!(keys.is_ok());
        let wrong = simple(ServerSecret::known(verifier), other.as_bytes());
        prop_assert_eq!(wrong.unwrap_err(), AuthError::WrongPassword);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[ncyprsiv=,a0+/\\x00]{0,60}") {
        for message in [bytes.as_slice(), text.as_bytes()] {
            let _ = first(message);
            let _ = waiting_for_final().client_final(message);
            let _ = server_first(message);
            let _ = channel_binding_hash(message);
            let _ = Verifier::parse(&String::from_utf8_lossy(message));
            let _ = prepare(message);
        }
    }
}

const SHA1_CERT: &str = "MIIB/DCCAWWgAwIBAgIUMFwGSUzYq3Fr7/8XkihDA922/9kwDQYJKoZIhvcNAQEFBQAwDzENMAsGA1UEAwwEc2hhMTAgFw0yNjExMjAxMDE3MDRaGA8yMTI2MTAyNzEwMTcwNFowDzENMAsGA1UEAwwEc2hhMTCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAyx6xeA0RCjkV3ezuBMP+VgnHvSHsxqEjYFqel2PzsY1/k6Tgo9nN+PlqX1FVVfXzcQQ9HXOyy6IC0M/OItSxzgJs2zgAiAx6hzC+LZMDs+hEO8Xu1kxYcRXwCDpyv49dVS8qdel2VjtwZQaJ555W7d42zm1vu242Z5NqIX6XEEcCAwEAAaNTMFEwHQYDVR0OBBYEFKo6FI5FVrNh3rfwdYXEH9aEuU/HMB8GA1UdIwQYMBaAFKo6FI5FVrNh3rfwdYXEH9aEuU/HMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQEFBQADgYEADgaYVDH3Z2ZUjRLibwKK2FVmR1DZQkqOamDE+iY/neaejK4lelc9wfana0tef+vQWpiqv9K1YcubajWe9iZkqBoLUhBIq3DA67VPYhm3zY/SuUzQDUNBZQ8lTLN9BhFDsf/vhaAVzWl244vtg0Ssvam9jg8JG+MfmhrOTfcjgcE=";
const SHA512_CERT: &str = "MIICADCCAWmgAwIBAgIUc+zN4Lt72fBwkNzkMQxzgEOePqIwDQYJKoZIhvcNAQENBQAwETEPMA0GA1UEAwwGc2hhNTEyMCAXDTI2MTEyMDEwMTcwNFoYDzIxMjYxMDI3MTAxNzA0WjARMQ8wDQYDVQQDDAZzaGE1MTIwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMsesXgNEQo5Fd3s7gTD/lYJx70h7MahI2Banpdj87GNf5Ok4KPZzfj5al9RVVX183EEPR1zssuiAtDPziLUsc4CbNs4AIgMeocwvi2TA7PoRDvF7tZMWHEV8Ag6cr+PXVUvKnXpdlY7cGUGieeeVu3eNs5tb7tuNmeTaiF+lxBHAgMBAAGjUzBRMB0GA1UdDgQWBBSqOhSORVazYd638HWFxB/WhLlPxzAfBgNVHSMEGDAWgBSqOhSORVazYd638HWFxB/WhLlPxzAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBDQUAA4GBAAj4zXobJaKFDGm+3Q2PZQY6I462QraSCriYKqbdVheUIrB/QWKDu7DcM+gat4+Afh3XmhT/Ti7jwAs4y9a984o7wTJDSTu7vb+U71PMAtggzOoZNqyw25O5GxOBwiZxLw2+JMOVdgFOelDb27WHARdhvYwVSsF0VOOlaYWDBxA2";
const PSS_SHA384_CERT: &str = "MIICYjCCAZegAwIBAgIUOZ0/5VQefpBHvkycmqD41Afhco0wQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgFOMA4xDDAKBgNVBAMMA3BzczAgFw0yNjExMjAxMDE3MDRaGA8yMTI2MTAyNzEwMTcwNFowDjEMMAoGA1UEAwwDcHNzMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDLHrF4DREKORXd7O4Ew/5WCce9IezGoSNgWp6XY/OxjX+TpOCj2c34+WpfUVVV9fNxBD0dc7LLogLQz84i1LHOAmzbOACIDHqHML4tkwOz6EQ7xe7WTFhxFfAIOnK/j11VLyp16XZWO3BlBonnnlbt3jbObW+7bjZnk2ohfpcQRwIDAQABo1MwUTAdBgNVHQ4EFgQUqjoUjkVWs2Het/B1hcQf1oS5T8cwHwYDVR0jBBgwFoAUqjoUjkVWs2Het/B1hcQf1oS5T8cwDwYDVR0TAQH/BAUwAwEB/zBBBgkqhkiG9w0BAQowNKAPMA0GCWCGSAFlAwQCAgUAoRwwGgYJKoZIhvcNAQEIMA0GCWCGSAFlAwQCAgUAogMCAU4DgYEAVcxw8XdXh13A1FoZRqL9A+dnKkrsMA6M+o141yy2kj/jeaXNWxnEz20jndzYLhT7We+yGsVqPMJ4YUWHFTIbKZFVm+BrGrUehbM2bf8gQxzTh5KMuY2ygsgjVTRbFTZT9GhBpRNGyxE1P9FcT5my9Yb8hJnhEia850TnxprPVJ4=";
