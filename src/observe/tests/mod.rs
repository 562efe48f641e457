//! The observer's tables: sums, bounds, quantiles, repeated statements, the slow log, tags.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::pedantic)]

mod bounds;
mod histogram;
mod n_plus_one;
mod slow;
mod sums;
mod tags;

use std::sync::Arc;

use crate::ids::ClientId;
use crate::observe::{
    Caller, Observer, ObserverSettings, Phases, Served, StatementRecord, Tags, TransactionRecord,
};
use crate::sql::{Print, Shape};

fn caller(tenant: Option<&str>) -> Arc<Caller> {
    Arc::new(Caller {
        database: "shop".into(),
        user: "web".into(),
        application: "app".into(),
        tenant: tenant.map(Into::into),
    })
}

fn shape(text: &str) -> Arc<Shape> {
    Arc::new(Shape::new(text.as_bytes(), true))
}

/// A statement that took `millis` at the server.
fn record(text: &str, caller: &Arc<Caller>, millis: u64) -> StatementRecord {
    StatementRecord {
        shape: shape(text),
        caller: Arc::clone(caller),
        tags: None,
        client: ClientId(1),
        transaction: 1,
        at: 0,
        phases: Phases { first: millis * 1_000_000, ..Phases::default() },
        served: Served::Server,
        continues: false,
        rows: 1,
        bytes: 10,
        error: None,
        values: Print::new(text.as_bytes(), true, &mut Vec::new()).values,
        detail: None,
    }
}

fn transaction(caller: &Arc<Caller>) -> TransactionRecord {
    TransactionRecord {
        caller: Arc::clone(caller),
        at: 1,
        length: 5,
        idle: 1,
        wait: 2,
        statements: 1,
        received: 100,
        sent: 200,
        client_parses: 1,
        server_parses: 1,
        binds: 1,
    }
}

fn tags(text: &str) -> Option<Arc<Tags>> {
    Tags::read(text.as_bytes()).map(Arc::new)
}

fn observer() -> Arc<Observer> {
    Observer::new(ObserverSettings::default(), 2)
}
