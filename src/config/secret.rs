//! Secrets: where they come from, and whether they have the shape they claim to have.

use std::ffi::OsString;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::mask;
use super::problem::{Problem, Problems};
use super::raw::{RawSecret, SecretKeys};
use super::source::{At, Located, read_bytes, why};

/// How a variable of the environment is looked up; an argument, so that tests need not change the
/// environment of the process.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// What a password begins with that is a SCRAM verifier.
const SCRAM_PREFIX: &str = "SCRAM-SHA-256$";
/// Length of a SHA-256 digest in bytes.
const DIGEST: usize = 32;

/// The three forms in which Postgres stores a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Plain,
    Md5,
    Scram,
}

impl Shape {
    /// The form of a password that [`check_shape`] found nothing wrong with.
    pub(super) fn of(password: &str) -> Self {
        if password.starts_with(SCRAM_PREFIX) {
            Self::Scram
        } else if password.starts_with("md5") {
            Self::Md5
        } else {
            Self::Plain
        }
    }

    /// In words.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Md5 => "an md5 hash",
            Self::Scram => "a SCRAM verifier",
        }
    }
}

/// A problem was found and is told already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told;

/// The secret that was typed, named or put into a file; `None`: none of the three.
pub(super) fn resolve(
    raw: &RawSecret,
    env: Env<'_>,
    problems: &Problems,
) -> Result<Option<Located<SecretString>>, Told> {
    let keys = raw.keys;
    let places = [
        raw.typed.as_ref().map(|l| &l.at),
        raw.env.as_ref().map(|l| &l.at),
        raw.file.as_ref().map(|l| &l.at),
    ];
    let mut places: Vec<&At> = places.into_iter().flatten().collect();
    places.sort_by_key(|at| at.span.start);
    if let [first, second, ..] = places.as_slice() {
        let problem = Problem::new(format!("the {} is given more than once", keys.what)).at(second);
        problems.add(
            problem
                .also("first given", first)
                .help(format!("valid here: one of {}, {}, {}", keys.typed, keys.env, keys.file)),
        );
        return Err(Told);
    }
    let told = |problem| {
        problems.add(problem);
        Told
    };
    if let Some(name) = &raw.env {
        return from_env(name, keys, env).map(Some).map_err(told);
    }
    if let Some(path) = &raw.file {
        let failed = |why: &str| Problem::new(format!("cannot read `{}`: {why}", keys.file)).at(&path.at);
        let bytes = read_bytes(&path.value).map_err(|e| told(failed(&why(&e))))?;
        let text = String::from_utf8(bytes).map_err(|_| told(failed("it is not UTF-8")))?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        return usable(line, keys, &path.at).map(Some).map_err(told);
    }
    Ok(raw.typed.clone())
}

fn from_env(
    name: &Located<String>,
    keys: &SecretKeys,
    env: Env<'_>,
) -> Result<Located<SecretString>, Problem> {
    // What is not written as variables are may be the password itself.
    let shown =
        if mask::names_variable(&name.value) { format!("`{}`", name.value) } else { "named here".into() };
    // Such a name would make the look-up of the standard library panic on some systems.
    let valid = !name.value.contains('=');
    let Some(value) = valid.then(|| env(&name.value)).flatten() else {
        return Err(Problem::new(format!("the environment variable {shown} is not set"))
            .at(&name.at)
            .help(format!("valid here: the name of a variable that holds the {}", keys.what)));
    };
    match value.into_string() {
        Ok(value) => usable(&value, keys, &name.at),
        Err(_) => Err(Problem::new(format!("the environment variable {shown} is not UTF-8")).at(&name.at)),
    }
}

/// The rules that a typed secret meets when it is read.
fn usable(secret: &str, keys: &SecretKeys, at: &At) -> Result<Located<SecretString>, Problem> {
    if secret.is_empty() {
        return Err(Problem::new(format!("the {} is empty", keys.what)).at(at));
    }
    if secret.contains('\0') {
        return Err(Problem::new(format!("the {} contains a NUL character", keys.what)).at(at));
    }
    Ok(Located { value: SecretString::from(secret), at: at.clone() })
}

/// Finds what is wrong with the password of a user: something that begins as a verifier or hash does must
/// be a whole one, or a cut copy would be taken for a plain password.
pub(super) fn check_shape(password: &Located<SecretString>) -> Result<Shape, Problem> {
    let text = password.value.expose_secret();
    let shape = Shape::of(text);
    let wrong = match shape {
        Shape::Plain => None,
        Shape::Md5 => bad_md5(text),
        Shape::Scram => bad_scram(text),
    };
    match wrong {
        None => Ok(shape),
        Some(wrong) => {
            let help = match shape {
                Shape::Md5 => "valid here: md5 and 32 hex digits in lower case, as in pg_authid",
                _ => "valid here: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, as in pg_authid",
            };
            Err(Problem::new(format!("the password is not {}: {wrong}", shape.word()))
                .at(&password.at)
                .help(help))
        }
    }
}

fn bad_md5(text: &str) -> Option<&'static str> {
    let digits = text.strip_prefix("md5")?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.len() != 32 {
        Some("it begins with md5, and then there are not 32 characters")
    } else if !digits.bytes().all(hex) {
        Some("it begins with md5, and then there is more than hex digits")
    } else {
        None
    }
}

fn bad_scram(text: &str) -> Option<&'static str> {
    let rest = text.strip_prefix(SCRAM_PREFIX)?;
    let Some(((iterations, salt), (stored, server))) =
        rest.split_once('$').and_then(|(left, right)| Some((left.split_once(':')?, right.split_once(':')?)))
    else {
        return Some("a part is missing");
    };
    let digits = !iterations.is_empty() && iterations.bytes().all(|b| b.is_ascii_digit());
    let digest = |part: &str| STANDARD.decode(part).is_ok_and(|bytes| bytes.len() == DIGEST);
    if !digits || !iterations.parse::<i32>().is_ok_and(|n| n > 0) {
        Some("the number of iterations is not valid")
    } else if !STANDARD.decode(salt).is_ok_and(|bytes| !bytes.is_empty()) {
        Some("the salt is not base64")
    } else if !digest(stored) {
        Some("the StoredKey is not 32 bytes in base64")
    } else if !digest(server) {
        Some("the ServerKey is not 32 bytes in base64")
    } else {
        None
    }
}
