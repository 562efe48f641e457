//! What goes out ahead of a client's first frame, so that its transaction finds its settings.

use std::sync::Arc;

use super::client::ClientSession;
use super::expect::{Expect, Kind};
use super::server::{ServerSession, Signature};
use super::sql_prepared::SqlStatements;
use crate::{sql, wire};

const SET: &[u8] = b"SELECT pg_catalog.set_config($1, $2, false)\0\0\0";

impl ServerSession {
    /// Writes what brings this connection's settings to the client's, in one transaction: all or nothing.
    /// Returns false, and writes nothing, when there is no difference. While [`Self::is_preparing`] holds,
    /// its replies are to come and the client's frames wait for them.
    ///
    /// Values travel as parameters, so no quoting is needed, whatever `standard_conforming_strings` and
    /// `client_encoding` are; names were checked at login.
    ///
    /// `sign`: a signature to set besides. As a parameter, because a text can be read in `pg_stat_activity` by
    /// others of the same role.
    pub fn preamble(
        &mut self,
        client: &ClientSession,
        sign: Option<(Signature, &str)>,
        out: &mut Vec<u8>,
    ) -> bool {
        let want = client.settings();
        if !self.differs(client) && sign.is_none() {
            return false;
        }
        let (lost, sets) = self.difference(want);
        for name in &lost {
            // Quoted, because a custom setting's name may hold a key word of SQL.
            let name = name.replace('.', "\".\"");
            self.run(out, format!("RESET \"{name}\"\0\0\0").as_bytes(), &[]);
        }
        for (name, value) in &sets {
            self.run(out, SET, &[name.as_bytes(), value.as_bytes()]);
        }
        if let Some((_, value)) = sign {
            self.run(out, SET, &[b"howdah.signature", value.as_bytes()]);
        }
        let settings = Arc::clone(client.settings());
        wire::sync(out);
        self.expect.push_back(Expect::new(Kind::Sync, false));
        self.unnamed = None;
        self.begin_preamble(Some(settings), sign.map(|(signature, _)| signature));
        true
    }

    /// Prepares what SQL had prepared in the client's session, and drops what another's had: of one name, or all. As
    /// [`Self::preamble`].
    pub(super) fn preamble_names(&mut self, client: &ClientSession, name: Option<&[u8]>, out: &mut Vec<u8>) {
        if self.names_unknown {
            // All of them go, and those of the protocol with them.
            self.run(out, b"DEALLOCATE ALL\0\0\0", &[]);
            self.statements.retain(&[]);
            self.sql_prepared = SqlStatements::default();
        }
        let (texts, then) = self.sql_prepared.changes(&client.sql_prepared, name);
        for mut text in texts {
            text.push_str("\0\0\0");
            self.run(out, text.as_bytes(), &[]);
        }
        wire::sync(out);
        self.expect.push_back(Expect::new(Kind::Sync, false));
        self.unnamed = None;
        self.begin_preamble(None, None);
        self.bring_prepared(then);
    }

    fn run(&mut self, out: &mut Vec<u8>, parse: &[u8], params: &[&[u8]]) {
        wire::parse_into(out, b"", parse);
        wire::bind(out, b"", params);
        wire::execute(out);
        for kind in [Kind::Parse, Kind::Bind, Kind::Execute] {
            self.expect.push_back(Expect::new(kind, false));
        }
    }

    /// Writes a query of Howdah's own whose replies are swallowed, such as `server_reset_query`. The
    /// connection must be quiet; [`Self::is_quiet`] tells when it is done, [`Self::take_preamble_error`]
    /// whether it failed.
    pub fn own_query(&mut self, text: &[u8], out: &mut Vec<u8>) {
        wire::query(out, text);
        self.expect.push_back(Expect::new(Kind::Query, false));
        self.begin_preamble(None, None);
    }

    /// Writes one statement of Howdah's own by the extended protocol, as the unnamed statement and portal, with
    /// text parameters and text results: at most `most` rows (0: all). Its replies are passed on as a client's
    /// would be. The connection must be free; it is again when the statement is done, unless that began a
    /// transaction.
    ///
    /// The text must not hold a NUL.
    pub fn own_statement(&mut self, text: &str, params: &[Option<&str>], most: u32, out: &mut Vec<u8>) {
        let mut parse = text.as_bytes().to_vec();
        parse.extend_from_slice(b"\0\0\0");
        wire::parse_into(out, b"", &parse);
        wire::bind_nullable(out, b"", params.iter().map(|param| param.map(str::as_bytes)));
        wire::describe_portal(out);
        wire::execute_rows(out, most);
        wire::sync(out);
        for kind in [Kind::Parse, Kind::Bind, Kind::Describe, Kind::Execute, Kind::Sync] {
            self.expect.push_back(Expect::new(kind, true));
        }
        // Not a client's batch: nothing to run again, and the unnamed statement is no client's any more.
        self.replay_ok = false;
        self.unnamed = None;
        self.leave(sql::traits(text.as_bytes(), true).leaves);
    }
}
