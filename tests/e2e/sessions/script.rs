//! What a session does: steps of frames, as data that can be sent, shown and cut down.

use std::fmt;

use super::statements::{EFFECTS, EVERY_SETTING};
use crate::support::wire;

/// Stands for the number of a run wherever a script names something of its own. It has as many characters as the
/// number, so that lengths and positions stay as they are.
pub(super) const OWN: &str = "__id__";

#[derive(Clone, PartialEq)]
pub(super) enum Frame {
    /// A simple query of these statements.
    Query(Vec<String>),
    Parse {
        name: String,
        sql: String,
    },
    Bind {
        portal: String,
        statement: String,
        values: Vec<Option<String>>,
        binary: bool,
    },
    DescribeStatement(String),
    DescribePortal(String),
    Execute(String, u32),
    CloseStatement(String),
    ClosePortal(String),
    Sync,
    Flush,
    CopyData(String),
    CopyDone,
    CopyFail,
    /// A function by its number.
    Call(u32, Vec<String>),
}

impl Frame {
    pub(super) fn bytes(&self, id: &str) -> Vec<u8> {
        let own = |text: &str| text.replace(OWN, id);
        match self {
            Self::Query(statements) => wire::query(&own(&statements.join("; "))),
            Self::Parse { name, sql } => wire::parse(name, &own(sql)),
            Self::Bind { portal, statement, values, binary } => {
                let values: Vec<Option<String>> =
                    values.iter().map(|value| value.as_deref().map(own)).collect();
                let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
                let results: &[i16] = if *binary { &[1] } else { &[] };
                wire::bind_formats(portal, statement, &[], &values, results)
            }
            Self::DescribeStatement(name) => wire::describe_statement(name),
            Self::DescribePortal(name) => wire::describe_portal(name),
            Self::Execute(portal, limit) => wire::execute(portal, *limit),
            Self::CloseStatement(name) => wire::close_statement(name),
            Self::ClosePortal(name) => wire::close_portal(name),
            Self::Sync => wire::sync(),
            Self::Flush => wire::flush(),
            Self::CopyData(data) => wire::copy_data(own(data).as_bytes()),
            Self::CopyDone => wire::copy_done(),
            Self::CopyFail => wire::copy_fail("no"),
            Self::Call(oid, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(|argument| own(argument)).collect();
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                wire::function_call(*oid, &arguments)
            }
        }
    }

    /// The server answers it with a ReadyForQuery.
    fn ends(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Sync | Self::Call(..))
    }

    /// It belongs to a batch that a Sync ends.
    fn is_extended(&self) -> bool {
        !self.ends() && !matches!(self, Self::CopyData(_) | Self::CopyDone | Self::CopyFail)
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(statements) => write!(f, "Q({})", statements.join("; ")),
            Self::Parse { name, sql } => write!(f, "Parse[{name}]({sql})"),
            Self::Bind { portal, statement, values, binary } => {
                let values: Vec<&str> =
                    values.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
                let binary = if *binary { " binary" } else { "" };
                write!(f, "Bind[{portal}<-{statement}]({}){binary}", values.join(", "))
            }
            Self::DescribeStatement(name) => write!(f, "DescribeStatement[{name}]"),
            Self::DescribePortal(name) => write!(f, "DescribePortal[{name}]"),
            Self::Execute(portal, limit) => write!(f, "Execute[{portal}]({limit})"),
            Self::CloseStatement(name) => write!(f, "CloseStatement[{name}]"),
            Self::ClosePortal(name) => write!(f, "ClosePortal[{name}]"),
            Self::Sync => write!(f, "Sync"),
            Self::Flush => write!(f, "Flush"),
            Self::CopyData(data) => write!(f, "CopyData({})", data.escape_default()),
            Self::CopyDone => write!(f, "CopyDone"),
            Self::CopyFail => write!(f, "CopyFail"),
            Self::Call(oid, arguments) => write!(f, "FunctionCall({oid}: {})", arguments.join(", ")),
        }
    }
}

/// Frames that go out in one write; the next step waits for all their ReadyForQuery.
#[derive(Clone, PartialEq, Default)]
pub(super) struct Step(pub(super) Vec<Frame>);

impl Step {
    pub(super) fn query(sql: &str) -> Self {
        Self(vec![Frame::Query(vec![sql.to_owned()])])
    }

    pub(super) fn bytes(&self, id: &str) -> Vec<Vec<u8>> {
        self.0.iter().map(|frame| frame.bytes(id)).collect()
    }

    pub(super) fn ready(&self) -> usize {
        self.0.iter().filter(|frame| frame.ends()).count()
    }

    /// Every batch has its Sync before anything else, and there is something to wait for.
    pub(super) fn is_whole(&self) -> bool {
        let mut open = false;
        for frame in &self.0 {
            match frame {
                Frame::Sync => open = false,
                Frame::Query(statements) if open || statements.is_empty() => return false,
                Frame::Call(..) if open => return false,
                frame => open |= frame.is_extended(),
            }
        }
        !open && self.ready() > 0
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames: Vec<String> = self.0.iter().map(Frame::to_string).collect();
        let text =
            frames.join(" + ").replace(EFFECTS, "SELECT effects").replace(EVERY_SETTING, "SELECT settings");
        f.write_str(&text)
    }
}

/// One session.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) seed: u64,
    /// Startup parameters besides user and database.
    pub(super) startup: Vec<(String, String)>,
    pub(super) steps: Vec<Step>,
    /// Notifications may come: after each step the client waits for those that Postgres sent.
    pub(super) listens: bool,
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    startup: {:?}", self.startup)?;
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "    {number:2}: {step}")?;
        }
        Ok(())
    }
}
