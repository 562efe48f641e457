//! Reading the tables in parts, so that nobody waits long for them.

use std::sync::Arc;

use super::Ledger;
use super::people::TenantSums;
use super::statements::{Statement, Sums};
use super::table::Place;
use crate::observe::histogram::Histogram;
use crate::observe::rows::{CallerRow, Counts, Quantiles, StatementRow, TenantRow};
use crate::sql::Shape;

/// A statement as it is taken out of the tables; its quantiles are computed without holding them.
#[derive(Debug)]
pub(in crate::observe) struct StatementPart {
    database: Arc<str>,
    shape: Option<Arc<Shape>>,
    sums: Sums,
}

/// A tenant in the same way.
#[derive(Debug)]
pub(in crate::observe) struct TenantPart {
    database: Arc<str>,
    tenant: Option<Arc<str>>,
    is_other: bool,
    sums: TenantSums,
}

/// What a statement cost a tenant.
pub(in crate::observe) type ByTenant = (Option<Arc<str>>, Counts);
/// What a tenant's statement cost.
pub(in crate::observe) type OfTenant = ((Arc<str>, u64), Counts);

/// So many slots are copied at once.
pub(in crate::observe) const AT_ONCE: usize = 128;

impl Ledger {
    /// Statements in some slots; nothing once there are no more.
    pub(in crate::observe) fn some_statements(&self, from: usize) -> Option<Vec<StatementPart>> {
        let some = || self.statements.some(from..from + AT_ONCE).map(StatementPart::from).collect();
        (from < self.statements.slots()).then(some)
    }

    /// Statements that are not kept on their own, by database.
    pub(in crate::observe) fn other_statements(&self) -> Vec<StatementPart> {
        let part = |(database, sums): &(Arc<str>, Sums)| StatementPart {
            database: Arc::clone(database),
            shape: None,
            sums: sums.clone(),
        };
        self.statements.others().map(part).collect()
    }

    /// One statement and where it is.
    pub(in crate::observe) fn find(
        &self,
        database: &str,
        fingerprint: u64,
    ) -> Option<(Place, StatementPart)> {
        let (place, statement) = self.statements.find(self.people.database_number(database)?, fingerprint)?;
        Some((place, StatementPart::from(statement)))
    }

    /// Some of a statement's sums by tenant; nothing once there are no more.
    pub(in crate::observe) fn tenants_of(&self, statement: Place, block: usize) -> Option<Vec<ByTenant>> {
        let of_row =
            |row: &super::cross::Row| Some((self.people.tenant_at(row.by)?.name.clone(), row.counts));
        let some = self.by_tenant.block(block)?;
        Some(some.iter().filter(|row| row.statement == statement).filter_map(of_row).collect())
    }

    /// Some of a statement's sums by caller; nothing once there are no more.
    pub(in crate::observe) fn callers_of(&self, statement: Place, block: usize) -> Option<Vec<CallerRow>> {
        let of_row = |row: &super::cross::Row| {
            Some(CallerRow { caller: Arc::clone(self.people.caller_at(row.by)?), counts: row.counts })
        };
        let some = self.by_caller.block(block)?;
        Some(some.iter().filter(|row| row.statement == statement).filter_map(of_row).collect())
    }

    /// Where a tenant is: in one database, or in all.
    pub(in crate::observe) fn places_of(&self, database: Option<&str>, tenant: &str) -> Vec<Place> {
        self.people.places_of(database, tenant)
    }

    /// Some of a tenant's statements; nothing once there are no more.
    pub(in crate::observe) fn statements_of(&self, tenant: &[Place], block: usize) -> Option<Vec<OfTenant>> {
        let of_row = |row: &super::cross::Row| {
            let statement = self.statements.get(row.statement)?;
            let key = (Arc::clone(&statement.database), statement.shape.fingerprint);
            Some((key, row.counts))
        };
        let some = self.by_tenant.block(block)?;
        Some(some.iter().filter(|row| tenant.contains(&row.by)).filter_map(of_row).collect())
    }

    /// All tenants.
    pub(in crate::observe) fn tenants(&self) -> Vec<TenantPart> {
        let kept = self.people.tenants().map(|tenant| TenantPart {
            database: Arc::clone(&tenant.database),
            tenant: tenant.name.clone(),
            is_other: false,
            sums: tenant.sums.clone(),
        });
        let others = self.people.other_tenants().map(|(database, sums)| TenantPart {
            database: Arc::clone(database),
            tenant: None,
            is_other: true,
            sums: sums.clone(),
        });
        kept.chain(others).collect()
    }
}

impl From<&Statement> for StatementPart {
    fn from(statement: &Statement) -> Self {
        Self {
            database: Arc::clone(&statement.database),
            shape: Some(Arc::clone(&statement.shape)),
            sums: statement.sums.clone(),
        }
    }
}

impl StatementPart {
    pub(in crate::observe) fn row(&self) -> StatementRow {
        StatementRow {
            database: Arc::clone(&self.database),
            shape: self.shape.clone(),
            counts: self.sums.counts,
            quantiles: Quantiles::from(&self.sums.histogram),
            n_plus_one: self.sums.n_plus_one,
            first_seen: self.sums.first_seen,
            last_seen: self.sums.last_seen,
        }
    }

    pub(in crate::observe) fn into_histogram(self) -> Histogram {
        self.sums.histogram
    }
}

impl TenantPart {
    pub(in crate::observe) fn row(self) -> TenantRow {
        TenantRow {
            database: self.database,
            tenant: self.tenant,
            is_other: self.is_other,
            counts: self.sums.counts,
            transactions: self.sums.transactions,
            transaction_time: self.sums.transaction_time,
            wait: self.sums.wait,
            quantiles: Quantiles::from(&self.sums.histogram),
        }
    }
}
