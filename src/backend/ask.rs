//! One statement of Howdah's own on a server connection, and its rows.

use std::fmt;
use std::future::poll_fn;

use super::connection::{Backend, Loss};
use crate::session::ClientSession;
use crate::wire::{self, ErrorFields, Malformed, Side, back};

/// The most rows of an answer.
pub const MAX_ROWS: u32 = 10_000;
/// The most bytes that a server may send for an answer.
pub const MAX_BYTES: usize = 8 << 20;

/// What a statement returned, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The columns' names; none for a statement that returns no rows.
    pub columns: Vec<String>,
    /// One entry for each column in each row; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Answer {
    /// The position of the column `name`.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// The statement failed: SQLSTATE and message. The connection goes on.
    Server(String, String),
    /// The connection is lost.
    Lost(Loss),
    /// More rows than [`MAX_ROWS`], or more bytes than [`MAX_BYTES`]: which.
    TooMuch(&'static str),
    /// A text or parameter with a NUL, more parameters than the protocol can count, COPY, or an answer that is
    /// not UTF-8: what it was.
    Unfit(&'static str),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(code, text) => write!(f, "{text} ({code})"),
            Self::Lost(loss) => write!(f, "{loss}"),
            Self::TooMuch(what) => write!(f, "the answer has too many {what}"),
            Self::Unfit(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for AskError {}

impl From<Loss> for AskError {
    fn from(loss: Loss) -> Self {
        Self::Lost(loss)
    }
}

/// Runs one statement by the extended protocol, with text parameters, and returns its rows as text.
///
/// The connection must be free (see [`Backend::is_reusable`]). Dropped before it is done, it leaves a connection
/// that is not, and must be closed; the same holds for a statement that begins a transaction. One that changes the
/// session taints it, as a client's would.
///
/// # Errors
/// See [`AskError`]. After any but [`AskError::Server`] the connection may be broken: ask
/// [`Backend::is_reusable`].
pub async fn ask(backend: &mut Backend, sql: &str, params: &[Option<&str>]) -> Result<Answer, AskError> {
    if sql.contains('\0') || params.iter().flatten().any(|param| param.contains('\0')) {
        return Err(AskError::Unfit("a NUL in a text for the server"));
    }
    if params.len() > usize::from(u16::MAX) {
        return Err(AskError::Unfit("more than 65,535 parameters"));
    }
    if !backend.is_reusable() {
        return Err(AskError::Unfit("the server connection is in use"));
    }
    backend.session.own_statement(sql, params, MAX_ROWS, &mut backend.out);
    let seen = replies(backend).await?;
    read(&seen).inspect_err(|error| {
        if matches!(error, AskError::Lost(_)) {
            backend.set_broken();
        }
    })
}

/// Everything that the server sends for the statement, ReadyForQuery included.
async fn replies(backend: &mut Backend) -> Result<Vec<u8>, AskError> {
    let mut nobody = ClientSession::nobody();
    let mut buf = vec![0; 8 << 10];
    let mut seen = Vec::new();
    while !backend.session.is_quiet() {
        poll_fn(|cx| backend.poll_flush(cx)).await?;
        let n = poll_fn(|cx| backend.poll_read(cx, &mut buf)).await?;
        let chunk = buf.get(..n).unwrap_or_default();
        let run = backend.feed(&mut nobody, chunk, &mut seen)?;
        seen.extend_from_slice(chunk.get(run).unwrap_or_default());
        let unfit = if backend.session.reads_copy() {
            AskError::Unfit("COPY FROM STDIN is not a statement that can be asked")
        } else if seen.len() > MAX_BYTES {
            AskError::TooMuch("bytes")
        } else {
            continue;
        };
        // It could be brought to its end; but it is a mistake in somebody's SQL, and closing is certain.
        backend.set_broken();
        return Err(unfit);
    }
    Ok(seen)
}

fn read(mut seen: &[u8]) -> Result<Answer, AskError> {
    let mut answer = Answer::default();
    let mut failed = None;
    while let Ok(Some(head)) = wire::header(Side::Backend, seen) {
        let Some((message, rest)) = seen.split_at_checked(head.len) else { break };
        let body = message.get(5..).unwrap_or_default();
        match head.tag {
            back::ROW_DESCRIPTION => {
                let names = wire::column_names(body).map_err(malformed)?;
                answer.columns = names.into_iter().map(text).collect::<Result<_, _>>()?;
            }
            back::DATA_ROW => {
                let fields = wire::fields(body).map_err(malformed)?;
                if fields.len() != answer.columns.len() {
                    return Err(malformed(Malformed("DataRow: not as many fields as columns")));
                }
                let row = fields.into_iter().map(|field| field.map(text).transpose());
                answer.rows.push(row.collect::<Result<_, _>>()?);
            }
            back::PORTAL_SUSPENDED => failed = failed.or(Some(AskError::TooMuch("rows"))),
            back::COPY_OUT => {
                failed = failed.or(Some(AskError::Unfit("COPY is not a statement that can be asked")));
            }
            back::ERROR => {
                let fields = ErrorFields::read(body);
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                failed = Some(AskError::Server(text(fields.sqlstate), text(fields.message)));
            }
            _ => {}
        }
        seen = rest;
    }
    failed.map_or(Ok(answer), Err)
}

fn malformed(what: Malformed) -> AskError {
    AskError::Lost(Loss::Violation(what.0))
}

/// Exactly, because what is read may decide who sees what: nothing is replaced.
fn text(bytes: &[u8]) -> Result<String, AskError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| AskError::Unfit("an answer that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::ids::BackendId;

    /// A server connection, and the server's end of it.
    fn pair() -> (Box<Backend>, DuplexStream) {
        let (near, far) = tokio::io::duplex(64 << 10);
        (Backend::over_pipe(near, BackendId(1), 10), far)
    }

    fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
        wire::frame(out, tag, |out| out.extend_from_slice(body));
    }

    fn begun() -> Vec<u8> {
        let mut out = Vec::new();
        message(&mut out, back::PARSE_COMPLETE, b"");
        message(&mut out, back::BIND_COMPLETE, b"");
        out
    }

    fn described() -> Vec<u8> {
        let mut out = begun();
        let column = |name: &[u8]| [name, &[0; 19]].concat();
        message(&mut out, back::ROW_DESCRIPTION, &[&[0, 2][..], &column(b"org"), &column(b"role")].concat());
        out
    }

    fn ended(mut out: Vec<u8>) -> Vec<u8> {
        message(&mut out, back::COMMAND_COMPLETE, b"SELECT 2\0");
        wire::ready_for_query(&mut out, b'I');
        out
    }

    /// Reads up to the Sync, then sends `answer` in pieces of `piece` bytes. Returns what was asked.
    async fn play(mut far: DuplexStream, answer: Vec<u8>, piece: usize) -> (Vec<u8>, DuplexStream) {
        let mut asked = Vec::new();
        while !asked.ends_with(b"S\0\0\0\x04") {
            far.read_buf(&mut asked).await.unwrap();
        }
        for part in answer.chunks(piece) {
            if far.write_all(part).await.is_err() {
                break; // it had enough
            }
            tokio::task::yield_now().await;
        }
        (asked, far)
    }

    async fn asked(answer: Vec<u8>, piece: usize) -> (Result<Answer, AskError>, Box<Backend>) {
        let (mut backend, far) = pair();
        let server = tokio::spawn(play(far, answer, piece));
        let result = ask(&mut backend, "select 1", &[]).await;
        if result.is_ok() || backend.is_reusable() {
            server.await.unwrap();
        }
        (result, backend)
    }

    fn two_rows() -> Vec<u8> {
        let mut out = described();
        message(&mut out, back::DATA_ROW, b"\0\x02\0\0\0\x02o1\xff\xff\xff\xff");
        message(&mut out, back::NOTICE, b"SNOTICE\0\0");
        message(&mut out, back::DATA_ROW, b"\0\x02\0\0\0\0\0\0\0\x03\xc3\xa9x");
        ended(out)
    }

    #[tokio::test]
    async fn rows_come_as_text_however_they_are_cut() {
        let whole = two_rows();
        for piece in 1..=whole.len() {
            let (answer, backend) = asked(whole.clone(), piece).await;
            let answer = answer.unwrap();
            assert_eq!(answer.columns, ["org", "role"]);
            assert_eq!(answer.column("role"), Some(1));
            let text = |text: &str| Some(text.to_owned());
            assert_eq!(answer.rows, [[text("o1"), None], [text(""), text("éx")]]);
            assert!(backend.is_reusable());
        }
    }

    #[tokio::test]
    async fn parameters_travel_as_they_are() {
        let (mut backend, far) = pair();
        let server = tokio::spawn(play(far, two_rows(), 4096));
        ask(&mut backend, "select $1, $2", &[Some("a'\\"), None]).await.unwrap();
        let (asked, far) = server.await.unwrap();
        let mut expected = Vec::new();
        wire::parse_into(&mut expected, b"", b"select $1, $2\0\0\0");
        message(&mut expected, b'B', b"\0\0\0\0\0\x02\0\0\0\x03a'\\\xff\xff\xff\xff\0\0");
        message(&mut expected, b'D', b"P\0");
        message(&mut expected, b'E', b"\0\0\0\x27\x10");
        wire::sync(&mut expected);
        assert_eq!(asked, expected);
        // And again on the same connection.
        let server = tokio::spawn(play(far, two_rows(), 4096));
        assert_eq!(ask(&mut backend, "select 1", &[]).await.unwrap().rows.len(), 2);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn an_error_leaves_the_connection_usable() {
        for mut out in [Vec::new(), begun(), described()] {
            message(&mut out, back::ERROR, b"SERROR\0VERROR\0C42P01\0Mno such table\0\0");
            wire::ready_for_query(&mut out, b'I');
            let (answer, backend) = asked(out, 4096).await;
            assert_eq!(answer, Err(AskError::Server("42P01".into(), "no such table".into())));
            assert!(backend.is_reusable());
        }
    }

    #[tokio::test]
    async fn a_statement_without_rows_has_an_empty_answer() {
        for tag in [(back::COMMAND_COMPLETE, &b"SET\0"[..]), (back::EMPTY_QUERY, b"")] {
            let mut out = begun();
            message(&mut out, back::NO_DATA, b"");
            message(&mut out, tag.0, tag.1);
            wire::ready_for_query(&mut out, b'I');
            assert_eq!(asked(out, 4096).await.0, Ok(Answer::default()));
        }
    }

    #[tokio::test]
    async fn a_statement_that_changes_the_session_leaves_a_trace() {
        for (sql, trace) in [("select 1", false), ("set work_mem = '1MB'", true)] {
            let (mut backend, far) = pair();
            let server = tokio::spawn(play(far, two_rows(), 4096));
            ask(&mut backend, sql, &[]).await.unwrap();
            assert_eq!(backend.session.is_tainted(), trace);
            server.await.unwrap();
        }
    }

    #[tokio::test]
    async fn too_many_rows_and_bytes_are_refused() {
        let mut rows = described();
        message(&mut rows, back::DATA_ROW, b"\0\x02\xff\xff\xff\xff\xff\xff\xff\xff");
        message(&mut rows, back::PORTAL_SUSPENDED, b"");
        wire::ready_for_query(&mut rows, b'I');
        let (answer, backend) = asked(rows, 4096).await;
        assert_eq!(answer, Err(AskError::TooMuch("rows")));
        assert!(backend.is_reusable());
        let mut wide = described();
        let len = u32::try_from(MAX_BYTES).unwrap().to_be_bytes();
        message(
            &mut wide,
            back::DATA_ROW,
            &[&b"\0\x02\xff\xff\xff\xff"[..], &len, &vec![b'x'; MAX_BYTES]].concat(),
        );
        let (answer, backend) = asked(ended(wide), 32 << 10).await;
        assert_eq!(answer, Err(AskError::TooMuch("bytes")));
        assert!(backend.is_broken());
    }

    #[tokio::test]
    async fn a_loss_is_told_and_breaks_the_connection() {
        let mut fatal = described();
        message(&mut fatal, back::ERROR, b"SFATAL\0VFATAL\0C57P01\0Mgoodbye\0\0");
        let mut short = described();
        message(&mut short, back::DATA_ROW, b"\0\x01\0\0\0\x01x");
        let mut copy = begun();
        message(&mut copy, back::NO_DATA, b"");
        message(&mut copy, back::COPY_IN, b"\0\0\0");
        let mut latin = described();
        message(&mut latin, back::DATA_ROW, b"\0\x02\0\0\0\x01\xe9\xff\xff\xff\xff");
        let violation = Loss::Violation("DataRow: not as many fields as columns");
        let cases = [
            (fatal, AskError::Lost(Loss::Fatal("57P01".into(), "goodbye".into())), false),
            (ended(short), AskError::Lost(violation), false),
            (copy, AskError::Unfit("COPY FROM STDIN is not a statement that can be asked"), false),
            (ended(latin), AskError::Unfit("an answer that is not UTF-8"), true),
        ];
        for (answer, error, usable) in cases {
            let (result, backend) = asked(answer, 4096).await;
            assert_eq!(result, Err(error));
            assert_eq!(backend.is_reusable(), usable);
        }
        let (mut backend, far) = pair();
        drop(far);
        assert!(matches!(ask(&mut backend, "select 1", &[]).await, Err(AskError::Lost(Loss::Io(_)))));
        assert_eq!(
            ask(&mut backend, "select 1", &[]).await,
            Err(AskError::Unfit("the server connection is in use"))
        );
        let (mut backend, _far) = pair();
        assert!(matches!(ask(&mut backend, "select '\0'", &[]).await, Err(AskError::Unfit(_))));
        assert!(matches!(ask(&mut backend, "select $1", &[Some("\0")]).await, Err(AskError::Unfit(_))));
        assert!(backend.is_reusable());
    }
}
