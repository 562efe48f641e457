//! `ErrorResponse`: the ones Howdah makes, and the ones it passes on.

use std::borrow::Cow;
use std::fmt;

use super::read::error_fields;
use super::write;

/// How bad an error is for the connection that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed, the session goes on.
    Error,
    /// The connection ends after it.
    Fatal,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// An error that Howdah sends to a client. The texts are for the client's eyes: no server address, no
/// password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgError {
    /// ERROR or FATAL.
    pub severity: Severity,
    /// Five characters of the manual's appendix A.
    pub sqlstate: Cow<'static, str>,
    /// One sentence.
    pub message: Cow<'static, str>,
    /// More about this case.
    pub detail: Option<Cow<'static, str>>,
    /// What to do.
    pub hint: Option<Cow<'static, str>>,
    /// The function of Postgres that reports it: drivers tell some errors apart by it.
    pub routine: Option<&'static str>,
}

impl PgError {
    /// A FATAL error: the connection closes after it.
    pub fn fatal(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            severity: Severity::Fatal,
            sqlstate: Cow::Borrowed(sqlstate),
            message: message.into(),
            detail: None,
            hint: None,
            routine: None,
        }
    }

    /// An ERROR: the session goes on.
    pub fn error(sqlstate: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { severity: Severity::Error, ..Self::fatal(sqlstate, message) }
    }

    /// 08P01: the peer broke the protocol.
    pub fn protocol_violation(message: impl Into<Cow<'static, str>>) -> Self {
        Self::fatal("08P01", message)
    }

    /// Says which function of Postgres would report it.
    #[must_use]
    pub fn routine(mut self, routine: &'static str) -> Self {
        self.routine = Some(routine);
        self
    }

    /// Adds a DETAIL.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a HINT.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with another severity.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Appends the `ErrorResponse`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::frame(out, super::back::ERROR, |out| {
            let mut field = |kind: u8, value: &str| {
                out.push(kind);
                // A NUL would end the field early and shift all that follow.
                out.extend(value.bytes().filter(|b| *b != 0));
                out.push(0);
            };
            field(b'S', self.severity.word());
            field(b'V', self.severity.word());
            field(b'C', &self.sqlstate);
            field(b'M', &self.message);
            if let Some(detail) = &self.detail {
                field(b'D', detail);
            }
            if let Some(hint) = &self.hint {
                field(b'H', hint);
            }
            if let Some(routine) = self.routine {
                field(b'R', routine);
            }
            out.push(0);
        });
    }

    /// The `ErrorResponse` as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out);
        out
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.severity.word(), self.message, self.sqlstate)?;
        if let Some(detail) = &self.detail {
            write!(f, " DETAIL: {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PgError {}

/// What Howdah wants to know of a server's `ErrorResponse`. A field that the server left out (a hostile
/// or broken one may leave out any, CVE-2026-6666) is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// `V`, or else `S`.
    pub severity: &'a [u8],
    /// `C`.
    pub sqlstate: &'a [u8],
    /// `M`.
    pub message: &'a [u8],
    /// `R`: the server's function that reported it.
    pub routine: &'a [u8],
}

impl<'a> ErrorFields<'a> {
    /// Reads the fields that are there.
    pub fn read(body: &'a [u8]) -> Self {
        let mut fields = Self::default();
        for (kind, value) in error_fields(body) {
            match kind {
                b'V' => fields.severity = value,
                b'S' if fields.severity.is_empty() => fields.severity = value,
                b'C' => fields.sqlstate = value,
                b'M' => fields.message = value,
                b'R' => fields.routine = value,
                _ => {}
            }
        }
        fields
    }

    /// True when the server closes the connection after this error.
    pub fn ends_connection(&self) -> bool {
        self.severity == b"FATAL" || self.severity == b"PANIC"
    }
}
