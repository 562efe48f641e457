//! Who may look: everybody, or who knows a user's password or a token.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use secrecy::{ExposeSecret, SecretString};

/// What a request's header says of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// He may look.
    Known,
    /// He has not said who he is.
    Nameless,
    /// He has said something wrong.
    Wrong,
}

/// What it takes to look at anything but the health. Nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A user and its password.
    pub user: Option<(String, SecretString)>,
    /// A token: `Authorization: Bearer`, or the password of any user, which is what a browser asks for.
    pub token: Option<SecretString>,
}

impl Access {
    pub(super) fn judge(&self, headers: &HeaderMap) -> Asker {
        if self.user.is_none() && self.token.is_none() {
            return Asker::Known;
        }
        let Some(header) = headers.get(AUTHORIZATION) else { return Asker::Nameless };
        let header = header.to_str().unwrap_or_default();
        let known = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.is_token(token.trim()),
            Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => self.is_basic(pair.trim()),
            _ => false,
        };
        if known { Asker::Known } else { Asker::Wrong }
    }

    fn is_token(&self, said: &str) -> bool {
        self.token.as_ref().is_some_and(|token| same(token.expose_secret(), said))
    }

    fn is_basic(&self, pair: &str) -> bool {
        let Some(pair) = STANDARD.decode(pair).ok().and_then(|pair| String::from_utf8(pair).ok()) else {
            return false;
        };
        let Some((name, password)) = pair.split_once(':') else { return false };
        let user = self.user.as_ref().is_some_and(|(user, right)| {
            // Both are compared in any case: how long it takes tells nothing.
            same(user, name) & same(right.expose_secret(), password)
        });
        user | self.is_token(password)
    }
}

/// Compares without telling by its time where the difference is, or how long the secret.
fn same(secret: &str, said: &str) -> bool {
    let of = |text: &str| digest(&SHA256, text.as_bytes());
    !secret.is_empty() && verify_slices_are_equal(of(secret).as_ref(), of(said).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn judge(access: &Access, header: &[u8]) -> Asker {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(header).unwrap());
        access.judge(&headers)
    }

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn everybody_may_look_where_nothing_is_configured() {
        assert_eq!(Access::default().judge(&HeaderMap::new()), Asker::Known);
        assert_eq!(judge(&Access::default(), b"Basic nonsense"), Asker::Known);
    }

    #[test]
    fn a_user_or_a_token_gets_in_and_nothing_else_does() {
        let access = Access { user: Some(("ops".into(), "a:b".into())), token: Some("tok".into()) };
        assert_eq!(access.judge(&HeaderMap::new()), Asker::Nameless);
        let known: [&[u8]; 5] =
            [&basic("ops:a:b"), b"Bearer tok", b"bearer  tok", &basic("any:tok"), &basic(":tok")];
        for header in known {
            assert_eq!(judge(&access, header), Asker::Known, "{}", String::from_utf8_lossy(header));
        }
        let wrong: [&[u8]; 14] = [
            b"",
            b"Basic",
            b"Basic ",
            b"Bearer",
            b"Bearer ",
            b"Bearer to",
            b"Bearer a:b",
            b"Digest tok",
            b"Basic !!!",
            b"Basic \xff\xfe",
            &basic("ops"),
            &basic("ops:"),
            &basic("ops:a"),
            &basic("root:a:b"),
        ];
        for header in wrong {
            assert_eq!(judge(&access, header), Asker::Wrong, "{}", String::from_utf8_lossy(header));
        }
        let empty = Access { user: Some(("ops".into(), "".into())), token: Some("".into()) };
        assert_eq!(judge(&empty, &basic("ops:")), Asker::Wrong);
    }
}
