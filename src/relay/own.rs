//! `SET howdah.…`, `RESET howdah.…` and `SHOW howdah.…`: answered here, in both protocols, with or without a
//! server connection. They never reach a server.

use std::collections::HashMap;

use super::session::{Session, Stage};
use crate::session::Change;
use crate::sql::{self, OwnCommand};
use crate::wire::{self, PgError, Target, back, front};

/// Statements and portals of the extended protocol that are Howdah's own.
#[derive(Debug, Default)]
pub(super) struct OwnBatch {
    statements: HashMap<Box<[u8]>, OwnCommand>,
    portal: Option<(Box<[u8]>, OwnCommand)>,
    /// Frames were answered here, and their Sync is to come.
    open: bool,
}

impl OwnBatch {
    fn portal(&self, name: &[u8]) -> Option<&OwnCommand> {
        self.portal.as_ref().filter(|(known, _)| **known == *name).map(|(_, command)| command)
    }
}

/// The most of them that a client may keep prepared.
const MAX_PREPARED: usize = 100;

/// What became of a frame.
pub(super) enum Own {
    /// It is none of ours.
    Not,
    /// It was answered.
    Done,
    /// Answers to earlier frames are to come.
    Wait,
    /// It is refused with this.
    Refused(PgError),
}

impl Session {
    /// Answers a frame that is about Howdah's own settings.
    pub(super) fn own(&mut self, tag: u8, frame: &[u8]) -> Own {
        if self.tenancy.is_none() && self.pool.caching().is_none() {
            return Own::Not;
        }
        let body = frame.get(5..).unwrap_or_default();
        match tag {
            front::QUERY => self.own_query(body),
            front::PARSE => self.own_parse(body),
            front::BIND => self.own_bind(body),
            front::DESCRIBE => self.own_describe(body),
            front::EXECUTE => self.own_execute(body),
            front::CLOSE => self.own_close(body),
            front::SYNC => self.own_sync(),
            _ => Own::Not,
        }
    }

    /// The transaction status to answer with, when all that came before is answered.
    fn status(&mut self) -> Result<u8, Own> {
        let Stage::Leased(lease) = &mut self.stage else { return Ok(b'I') };
        if lease.session.is_unsynced() {
            return Err(Own::Refused(
                PgError::error(
                    "0A000",
                    "howdah's own settings cannot be used behind other statements of a pipeline",
                )
                .hint("Send them first, or with a Sync before them."),
            ));
        }
        if !lease.session.is_quiet() {
            lease.session.wait();
            return Err(Own::Wait);
        }
        match lease.session.status() {
            b'E' => Err(Own::Refused(PgError::error(
                "25P02",
                "current transaction is aborted, commands ignored until end of transaction block",
            ))),
            status => Ok(status),
        }
    }

    fn own_query(&mut self, body: &[u8]) -> Own {
        let text = body.split_last().map_or(body, |(_, text)| text);
        let standard = self.front.standard_strings();
        let command = sql::own_command(text, standard);
        if command.as_ref().is_some_and(|command| !self.is_own(command)) {
            return Own::Not;
        }
        let Some(command) = command else {
            if self.tenancy.is_some() && sql::mentions_own(text, standard) {
                return Own::Refused(
                    PgError::error("0A000", "howdah's own settings need a query of their own")
                        .hint("Send SET howdah.… and the other statements one by one."),
                );
            }
            return Own::Not;
        };
        let status = match self.status() {
            Ok(status) => status,
            Err(own) => return own,
        };
        match self.obey(&command) {
            Ok(value) => {
                let out = &mut self.out.bytes;
                if let OwnCommand::Show { key } = &command {
                    row_description(out, key);
                }
                answer(out, &command, &value);
                wire::ready_for_query(out, status);
                Own::Done
            }
            Err(error) => Own::Refused(error),
        }
    }

    fn own_parse(&mut self, body: &[u8]) -> Own {
        let Ok(parse) = wire::parse(body) else { return Own::Not };
        let standard = self.front.standard_strings();
        let command = sql::own_command(parse.query, standard).filter(|command| self.is_own(command));
        let mentions =
            command.is_none() && self.tenancy.is_some() && sql::mentions_own(parse.query, standard);
        let Some(command) = command else {
            if let Some(batch) = &mut self.own {
                batch.statements.remove(parse.name);
            }
            if mentions {
                return Own::Refused(PgError::error(
                    "42601",
                    "howdah's own settings need a statement of their own",
                ));
            }
            return Own::Not;
        };
        if let Err(own) = self.status() {
            return own;
        }
        let batch = self.own.get_or_insert_default();
        if batch.statements.len() >= MAX_PREPARED {
            return Own::Refused(PgError::error("54000", "too many prepared statements in this session"));
        }
        batch.statements.insert(parse.name.into(), command);
        self.own_reply(back::PARSE_COMPLETE)
    }

    fn own_reply(&mut self, tag: u8) -> Own {
        self.own.get_or_insert_default().open = true;
        self.out.bytes.extend_from_slice(&[tag, 0, 0, 0, 4]);
        Own::Done
    }

    fn own_bind(&mut self, body: &[u8]) -> Own {
        let Some(batch) = &mut self.own else { return Own::Not };
        let Some(bind) = wire::bind_head(body) else { return Own::Not };
        let Some(command) = batch.statements.get(bind.statement).cloned() else {
            batch.portal.take_if(|(name, _)| **name == *bind.portal);
            return Own::Not;
        };
        if let Err(own) = self.status() {
            return own;
        }
        self.own.get_or_insert_default().portal = Some((bind.portal.into(), command));
        self.own_reply(back::BIND_COMPLETE)
    }

    fn own_describe(&mut self, body: &[u8]) -> Own {
        let (Some(batch), Ok(target)) = (&mut self.own, wire::target(body)) else { return Own::Not };
        let (command, statement) = match target {
            Target::Statement(name) => (batch.statements.get(name), true),
            Target::Portal(name) => (batch.portal(name), false),
        };
        let Some(command) = command.cloned() else { return Own::Not };
        batch.open = true;
        if statement {
            wire::frame(&mut self.out.bytes, back::PARAMETER_DESCRIPTION, |out| {
                out.extend_from_slice(&[0, 0]);
            });
        }
        if let OwnCommand::Show { key } = &command {
            row_description(&mut self.out.bytes, key);
            return Own::Done;
        }
        self.own_reply(back::NO_DATA)
    }

    fn own_execute(&mut self, body: &[u8]) -> Own {
        let Some((portal, _)) = wire::c_string(body) else { return Own::Not };
        let Some(command) = self.own.as_ref().and_then(|batch| batch.portal(portal)).cloned() else {
            return Own::Not;
        };
        if let Err(own) = self.status() {
            return own;
        }
        match self.obey(&command) {
            Ok(value) => {
                answer(&mut self.out.bytes, &command, &value);
                Own::Done
            }
            Err(error) => Own::Refused(error),
        }
    }

    fn own_close(&mut self, body: &[u8]) -> Own {
        let Some(batch) = &mut self.own else { return Own::Not };
        let known = match wire::target(body) {
            Ok(Target::Statement(name)) => batch.statements.remove(name).is_some(),
            Ok(Target::Portal(name)) => batch.portal.take_if(|(n, _)| **n == *name).is_some(),
            Err(_) => false,
        };
        if known { self.own_reply(back::CLOSE_COMPLETE) } else { Own::Not }
    }

    /// The Sync of a batch that was answered here alone.
    fn own_sync(&mut self) -> Own {
        let Some(batch) = &mut self.own else { return Own::Not };
        batch.portal = None;
        if !std::mem::take(&mut batch.open) {
            return Own::Not;
        }
        match &self.stage {
            Stage::Leased(lease) if lease.session.is_quiet() => {
                wire::ready_for_query(&mut self.out.bytes, lease.session.status());
                Own::Done
            }
            _ => Own::Not,
        }
    }

    /// Does what it says. Returns what SHOW shows.
    fn obey(&mut self, command: &OwnCommand) -> Result<String, PgError> {
        if let Some(answer) = self.obey_for_cache(command) {
            return answer;
        }
        let block = matches!(&self.stage, Stage::Leased(lease) if lease.session.status() != b'I');
        let change = match &self.stage {
            Stage::Leased(lease) => lease.session.may_change(),
            _ => Change::Now,
        };
        let Some(tenancy) = &mut self.tenancy else { return Ok(String::new()) };
        match command {
            OwnCommand::Malformed(why) => Err(PgError::error("42601", *why)),
            OwnCommand::Show { key } => tenancy.show(key),
            OwnCommand::Set { local: true, .. } if !block => {
                warning(&mut self.out.bytes, "25P01", "SET LOCAL can only be used in transaction blocks");
                Ok(String::new())
            }
            OwnCommand::Set { key, value, local } => {
                tenancy.set(key, Some(value), *local, block, change).map(|()| String::new())
            }
            OwnCommand::Reset { key, .. } => {
                tenancy.set(key, None, false, block, change).map(|()| String::new())
            }
        }
    }
}

fn answer(out: &mut Vec<u8>, command: &OwnCommand, value: &str) {
    let tag = match command {
        OwnCommand::Show { .. } => {
            wire::frame(out, back::DATA_ROW, |out| {
                out.extend_from_slice(&1_u16.to_be_bytes());
                out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
                out.extend_from_slice(value.as_bytes());
            });
            &b"SHOW\0"[..]
        }
        OwnCommand::Reset { .. } => b"RESET\0",
        OwnCommand::Set { .. } | OwnCommand::Malformed(_) => b"SET\0",
    };
    wire::frame(out, back::COMMAND_COMPLETE, |out| out.extend_from_slice(tag));
}

/// One column of text, named like the setting.
fn row_description(out: &mut Vec<u8>, key: &str) {
    wire::frame(out, back::ROW_DESCRIPTION, |out| {
        out.extend_from_slice(&1_u16.to_be_bytes());
        out.extend_from_slice(b"howdah.");
        out.extend_from_slice(key.as_bytes());
        out.push(0);
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0]); // of no table
        out.extend_from_slice(&25_u32.to_be_bytes());
        out.extend_from_slice(&(-1_i16).to_be_bytes());
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        out.extend_from_slice(&0_u16.to_be_bytes());
    });
}

fn warning(out: &mut Vec<u8>, sqlstate: &str, message: &str) {
    wire::frame(out, back::NOTICE, |out| {
        for (kind, value) in [(b'S', "WARNING"), (b'V', "WARNING"), (b'C', sqlstate), (b'M', message)] {
            out.push(kind);
            out.extend_from_slice(value.as_bytes());
            out.push(0);
        }
        out.push(0);
    });
}
