//! What is put into the text of a simple query, and where: settings that are brought, the locals of a transaction,
//! what a session asked for at its start behind a RESET of it, and the disguise of LISTEN.

use std::sync::Arc;

use super::bring::Changes;
use super::channels::{UN, listens};
use super::client::ClientSession;
use super::locals::{Insert, Locals, assignment, literal, survives_text};
use super::server::ServerSession;
use super::settings::Settings;
use crate::sql::{self, Class, Leaves, Traits};
use crate::wire::{self, front};

/// A text of one or more statements that goes into another one.
pub(super) struct Piece {
    /// Where, in bytes.
    at: usize,
    /// How many statements of the client's are ahead of it.
    before: u32,
    statements: u32,
    text: Vec<u8>,
}

/// A place for the locals: in bytes, and how many statements are ahead of it.
pub(super) type Place = (usize, u32);

/// What goes into a text.
pub(super) struct Edits {
    pieces: Vec<Piece>,
    inserts: Arc<[Insert]>,
}

impl Edits {
    /// The locals at the front, and nothing else: the most common by far.
    pub(super) fn front(locals: &Locals) -> Self {
        Self { pieces: Vec::new(), inserts: Arc::clone(locals.at_front()) }
    }

    pub(super) fn inserts(&self) -> Arc<[Insert]> {
        Arc::clone(&self.inserts)
    }

    /// Writes the query. `locals` are those of [`Self::front`].
    pub(super) fn write(&self, out: &mut Vec<u8>, text: &[u8], locals: Option<&Locals>) {
        wire::frame(out, front::QUERY, |out| {
            let mut from = 0;
            if let Some(locals) = locals.filter(|_| self.pieces.is_empty()) {
                out.extend_from_slice(locals.prefix());
            }
            for piece in &self.pieces {
                out.extend_from_slice(text.get(from..piece.at).unwrap_or_default());
                out.extend_from_slice(&piece.text);
                from = piece.at;
            }
            out.extend_from_slice(text.get(from..).unwrap_or_default());
            out.push(0);
        });
    }
}

impl ClientSession {
    /// Everything that goes into a text; `None`: nothing.
    pub(super) fn edits(
        &self,
        text: &[u8],
        traits: &Traits<'_>,
        changes: Option<&Changes>,
        locals: Option<(&Locals, &[Place])>,
        server: &ServerSession,
    ) -> Option<Edits> {
        let resets = traits.leaves.has(Leaves::RESETS) && !self.startup.is_empty();
        let under_way = server.bring.is_under_way() && traits.statements > 1;
        let listens = listens(text, traits, self.standard_strings);
        if changes.is_none() && !resets && !under_way && listens.is_empty() {
            return match locals {
                Some((locals, [(0, 0)])) => Some(Edits::front(locals)),
                Some((_, [])) | None => None,
                Some((locals, places)) => Some(self.sealed(text, locals_at(locals, places))),
            };
        }
        let mut pieces = Vec::new();
        if let Some(changes) = changes {
            pieces.push(Piece { at: 0, before: 0, statements: changes.count(), text: changes.prefix() });
        }
        if under_way {
            self.behind_ends(text, server, &mut pieces);
        }
        if resets {
            self.behind_resets(text, server.status() != b'I', &mut pieces);
        }
        if let Some((locals, places)) = locals {
            pieces.extend(locals_at(locals, places));
        }
        // Last, so that it stands at its word.
        pieces.extend(listens.into_iter().map(|at| Piece {
            at,
            before: 0,
            statements: 0,
            text: UN.to_vec(),
        }));
        pieces.sort_by_key(|piece| piece.at); // stable: in one place, in this order
        (!pieces.is_empty()).then(|| self.sealed(text, pieces))
    }

    fn sealed(&self, text: &[u8], pieces: Vec<Piece>) -> Edits {
        let mut sent = 0_u32;
        let inserts = pieces.iter().map(|piece| {
            let chars = u32::try_from(piece.text.len()).unwrap_or(u32::MAX); // it is ASCII
            let ahead = self.characters(text.get(..piece.at).unwrap_or_default());
            let at = ahead.map(|ahead| ahead.saturating_add(sent));
            sent = sent.saturating_add(chars);
            Insert { before: piece.before, statements: piece.statements, at, chars }
        });
        let inserts = inserts.collect();
        Edits { pieces, inserts }
    }

    /// What is on its way is gone with a rollback: behind what ends a transaction it is set again.
    fn behind_ends(&self, text: &[u8], server: &ServerSession, pieces: &mut Vec<Piece>) {
        let Some((prefix, statements)) = server.bring.prefix() else { return };
        let mut ended = false;
        for (n, part) in sql::parts(text, self.standard_strings).enumerate() {
            let rest = text.get(part.start..).unwrap_or_default();
            let ends = matches!(part.class, Class::End | Class::Chain)
                && (server.status() == b'E' || sql::rolls_back(rest, self.standard_strings));
            if std::mem::replace(&mut ended, ends) {
                let before = u32::try_from(n).unwrap_or(u32::MAX);
                pieces.push(Piece { at: part.start, before, statements, text: prefix.clone() });
            }
        }
    }

    /// RESET goes back to what the client asked for when it connected, and not to what Howdah did.
    fn behind_resets(&self, text: &[u8], in_block: bool, pieces: &mut Vec<Piece>) {
        let parts: Vec<_> = sql::parts(text, self.standard_strings).collect();
        let begins = parts.iter().any(|part| part.class == Class::Begin);
        for (n, part) in parts.iter().enumerate() {
            let end = parts.get(n + 1).map(|next| next.start);
            let statement = text.get(part.start..end.unwrap_or(text.len())).unwrap_or_default();
            // A query would fix the snapshot of a transaction that begins behind it.
            let asked = self.asked_again(statement, !begins);
            // SET LOCAL alone and outside of a transaction does nothing but warn.
            let idle = parts.len() == 1 && !in_block && sql::is_local(statement, self.standard_strings);
            if asked.is_empty() || idle {
                continue;
            }
            let mut added = Vec::new();
            if end.is_none() {
                added.extend_from_slice(b"\n;"); // a comment may stand at the end
            }
            for body in &asked {
                added.extend_from_slice(body);
                added.push(b';');
            }
            pieces.push(Piece {
                at: end.unwrap_or(text.len()),
                before: u32::try_from(n + 1).unwrap_or(u32::MAX),
                statements: u32::try_from(asked.len()).unwrap_or(u32::MAX),
                text: added,
            });
        }
    }

    /// SETs of what the client asked for when it connected and a statement resets; `exact`: by a query, where a
    /// SET would change how the value looks.
    pub(super) fn asked_again(&self, statement: &[u8], exact: bool) -> Vec<Vec<u8>> {
        let traits = sql::traits(statement, self.standard_strings);
        if !traits.leaves.has(Leaves::RESETS) || self.startup.is_empty() {
            return Vec::new();
        }
        let Some(touched) = sql::touched(statement, self.standard_strings) else { return Vec::new() };
        let reset =
            |name: &str| touched.reset_all || touched.names.iter().any(|n| n.eq_ignore_ascii_case(name));
        sets(sql::is_local(statement, self.standard_strings), exact, &self.startup, reset)
    }
}

fn locals_at(locals: &Locals, places: &[Place]) -> Vec<Piece> {
    let statements = u32::try_from(locals.count()).unwrap_or(u32::MAX);
    let piece =
        |(at, before): &Place| Piece { at: *at, before: *before, statements, text: locals.prefix().to_vec() };
    places.iter().map(piece).collect()
}

fn sets(local: bool, exact: bool, settings: &Settings, which: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let text = |(name, value): (&str, &str)| {
        let set = if local { &b"SET LOCAL "[..] } else { b"SET SESSION " };
        let mut text = set.to_vec();
        if !exact || survives_text(name, value) {
            assignment(&mut text, name, value);
            return text;
        }
        text = b"SELECT pg_catalog.set_config(".to_vec();
        literal(&mut text, name);
        text.push(b',');
        literal(&mut text, value);
        text.extend_from_slice(if local { b",true)" } else { b",false)" });
        text
    };
    settings.iter().filter(|(name, _)| which(name)).map(text).collect()
}
