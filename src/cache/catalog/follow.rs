//! From the names in a query to all that is read by it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use super::ask::{Ask, array, is_true, oid, oid_array, oids, rows, text, value};
use super::judge::{self, Function, Relation};
use super::{MOST_FUNCTIONS, MOST_RELATIONS, Reads, Relations, Scope, questions, too_many};
use crate::cache::counters::Miss;
use crate::cache::plan::Why;
use crate::sql::{self, Mentions, Named};

/// Names in one of whose places something was mentioned, to be looked up together.
#[derive(Default)]
struct Names {
    relations: BTreeSet<Named>,
    functions: BTreeSet<Named>,
    operators: BTreeSet<Box<str>>,
    columns: BTreeSet<Box<str>>,
}

/// Looks up one thing after another until nothing new comes.
pub(super) struct Follow<'a, A> {
    ask: &'a mut A,
    volatile: bool,
    relations: Relations,
    /// Functions that were judged, and whether as a part of a policy.
    functions: BTreeSet<(u32, bool)>,
    settings: BTreeSet<Box<str>>,
    by_ttl_only: bool,
    /// Relations that were found, but not looked at.
    fresh: BTreeSet<u32>,
    /// Functions that were found, but not looked at; whether for a policy.
    called: BTreeMap<bool, BTreeSet<u32>>,
    /// Names in bodies, not looked up yet; whether for a policy, and where.
    mentioned: VecDeque<(bool, Scope, Names)>,
}

impl<'a, A: Ask> Follow<'a, A> {
    pub(super) fn new(ask: &'a mut A, volatile: bool) -> Self {
        Self {
            ask,
            volatile,
            relations: Relations::new(),
            functions: BTreeSet::new(),
            settings: BTreeSet::new(),
            by_ttl_only: false,
            fresh: BTreeSet::new(),
            called: BTreeMap::new(),
            mentioned: VecDeque::new(),
        }
    }

    /// What was found: relations, settings, and whether something else may change the answer.
    pub(super) fn found(self) -> (Relations, BTreeSet<Box<str>>, bool) {
        (self.relations, self.settings, self.by_ttl_only)
    }

    /// Begins with what a query names, and goes on to the end.
    pub(super) async fn query(&mut self, reads: &Reads, scope: &Scope) -> Result<(), Why> {
        self.settings.extend(reads.settings.iter().cloned());
        let wanted: Vec<&Named> = reads.relations.iter().collect();
        let found = self.resolve(&wanted, scope).await?;
        for (at, (schema, name)) in wanted.iter().enumerate() {
            if !found.iter().any(|(number, _)| *number == at + 1) {
                let dot = if schema.is_some() { "." } else { "" };
                let schema = schema.as_deref().unwrap_or_default();
                return Err(Why::failed(format!("there is no table \"{schema}{dot}{name}\"")));
            }
        }
        self.fresh.extend(found.into_iter().map(|(_, oid)| oid));
        let names = Names {
            relations: BTreeSet::new(),
            functions: reads.functions.clone(),
            operators: reads.operators.clone(),
            columns: reads.columns.clone(),
        };
        self.mentioned.push_back((false, scope.clone(), names));
        while self.step(scope).await? {}
        Ok(())
    }

    /// One more round. False when there was nothing to do.
    async fn step(&mut self, scope: &Scope) -> Result<bool, Why> {
        if let Some((policy, of, names)) = self.mentioned.pop_front() {
            let wanted: Vec<&Named> = names.relations.iter().collect();
            let found = self.resolve(&wanted, &of).await?;
            self.fresh.extend(found.into_iter().map(|(_, oid)| oid));
            self.functions(policy, &of, &names, &BTreeSet::new(), scope).await?;
            return Ok(true);
        }
        if let Some((policy, oids)) = self.called.pop_first() {
            self.functions(policy, &Scope::catalog(), &Names::default(), &oids, scope).await?;
            return Ok(true);
        }
        self.fresh.retain(|oid| !self.relations.contains_key(oid));
        if self.fresh.is_empty() {
            return Ok(false);
        }
        let fresh = mem::take(&mut self.fresh);
        self.relations(&fresh).await?;
        Ok(true)
    }

    /// The relations that these names lead to, with the number of the name from 1.
    async fn resolve(&mut self, wanted: &[&Named], scope: &Scope) -> Result<Vec<(usize, u32)>, Why> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let schemas = array(wanted.iter().map(|(schema, _)| schema.as_deref()));
        let names = array(wanted.iter().map(|(_, name)| Some(&**name)));
        let values = [Some(&*schemas), Some(&*names), scope.path.as_deref(), scope.role.as_deref()];
        let rows = rows(self.ask, questions::RELATIONS, &values).await?;
        Ok(rows.iter().map(|row| (oid(row, 0) as usize, oid(row, 1))).collect())
    }

    /// Relations that are read, with all that is read with them.
    async fn relations(&mut self, fresh: &BTreeSet<u32>) -> Result<(), Why> {
        let mut new = BTreeSet::new();
        for row in rows(self.ask, questions::READ_WITH, &[Some(&oid_array(fresh))]).await? {
            let relation = Relation {
                schema: text(&row, 1),
                name: text(&row, 2),
                kind: text(&row, 3),
                persistence: text(&row, 4),
            };
            let number = oid(&row, 0);
            if self.relations.contains_key(&number) {
                continue;
            }
            self.by_ttl_only |= judge::relation(&relation)?;
            self.relations.insert(number, (relation.schema, relation.name));
            new.insert(number);
        }
        if self.relations.len() > MOST_RELATIONS {
            return Err(too_many("tables"));
        }
        for row in rows(self.ask, questions::DEFINITIONS, &[Some(&oid_array(&new))]).await? {
            let policy = is_true(&row, 0);
            self.called.entry(policy).or_default().extend(oids(&row, 2));
            if let Some(definition) = value(&row, 1) {
                self.definition(policy, definition)?;
            }
        }
        Ok(())
    }

    /// The text of a view or policy. What it names of users' making is known already; what it names of the server's is
    /// not.
    fn definition(&mut self, policy: bool, definition: &str) -> Result<(), Why> {
        let found = sql::mentions(definition.as_bytes());
        self.read_settings(policy, &found)?;
        let system = |(schema, _): &Named| {
            schema.as_deref().is_none_or(|s| matches!(s, "pg_catalog" | "information_schema"))
        };
        let names = Names {
            relations: found.names.into_iter().filter(system).collect(),
            functions: found.calls.into_iter().filter(system).collect(),
            ..Names::default()
        };
        self.mentioned.push_back((policy, Scope::catalog(), names));
        Ok(())
    }

    fn read_settings(&mut self, policy: bool, found: &Mentions) -> Result<(), Why> {
        if found.unclear_setting {
            return Err(judge::unreadable(policy, "it reads a setting whose name is not written out"));
        }
        self.settings.extend(found.settings.iter().cloned());
        Ok(())
    }

    /// Functions by their names or identifiers.
    async fn functions(
        &mut self,
        policy: bool,
        of: &Scope,
        names: &Names,
        oids: &BTreeSet<u32>,
        scope: &Scope,
    ) -> Result<(), Why> {
        let nothing = names.functions.is_empty() && names.operators.is_empty() && names.columns.is_empty();
        if nothing && oids.is_empty() {
            return Ok(());
        }
        let list = |items: &BTreeSet<Box<str>>| array(items.iter().map(|item| Some(&**item)));
        let schemas = array(names.functions.iter().map(|(schema, _)| schema.as_deref()));
        let functions = array(names.functions.iter().map(|(_, name)| Some(&**name)));
        let (operators, columns) = (list(&names.operators), list(&names.columns));
        let oids = oid_array(oids);
        let values = [
            Some(&*schemas),
            Some(&*functions),
            of.path.as_deref(),
            of.role.as_deref(),
            Some(&*operators),
            Some(&*columns),
            Some(&*oids),
        ];
        let mut atomic = BTreeSet::new();
        for row in rows(self.ask, questions::FUNCTIONS, &values).await? {
            let number = oid(&row, 0);
            if !self.functions.insert((number, policy)) {
                continue;
            }
            let function = Function::read(&row);
            self.by_ttl_only |= judge::function(&function, policy, self.volatile)?;
            if function.atomic {
                atomic.insert(number);
            }
            self.body(&function, policy, scope)?;
        }
        if self.functions.len() > MOST_FUNCTIONS {
            return Err(too_many("functions"));
        }
        if !atomic.is_empty() {
            for row in rows(self.ask, questions::NAMED_BY_FUNCTION, &[Some(&oid_array(&atomic))]).await? {
                let number = oid(&row, 1);
                if is_true(&row, 0) {
                    self.fresh.insert(number);
                } else {
                    self.called.entry(policy).or_default().insert(number);
                }
            }
        }
        Ok(())
    }

    /// What the body of a function mentions. `scope` is the session's.
    fn body(&mut self, function: &Function, policy: bool, scope: &Scope) -> Result<(), Why> {
        let Some(body) = &function.body else { return Ok(()) };
        if function.atomic {
            return self.definition(policy, body);
        }
        let found = sql::mentions(body.as_bytes());
        self.read_settings(policy, &found)?;
        if found.dynamic || found.incomplete {
            if policy {
                return Err(judge::unreadable(policy, "it runs text that is made as it goes"));
            }
            self.by_ttl_only = true;
        }
        let role = function.owner.as_deref().or(scope.role.as_deref());
        let of = match &function.path {
            Some(path) => Scope::new(Some(path), role),
            None => Some(Scope { path: scope.path.clone(), role: role.map(Into::into) }),
        };
        let Some(of) = of else {
            return Err(Why::never(Miss::NotCacheable, "the search_path of a function cannot be read"));
        };
        let names = Names {
            relations: found.names.into_iter().collect(),
            functions: found.calls.into_iter().collect(),
            operators: found.operators.into_iter().collect(),
            columns: BTreeSet::new(),
        };
        self.mentioned.push_back((policy, of, names));
        Ok(())
    }
}
