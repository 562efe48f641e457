//! Answers from tables that are full.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use super::{Ask, ClientLine, Page, PoolLine, State, Status, TenantLine};
use crate::ids::ClientId;
use crate::observe::{
    Caller, Detail, NPlusOneSettings, Observer, ObserverSettings, Phases, Served, StatementRecord, Tags,
    TransactionRecord,
};
use crate::sql::Shape;

const STATEMENTS: u64 = 5_000;
const TENANTS: u64 = 500;

/// As much of everything as may be, and each text as long as it gets.
struct Full(Arc<Observer>);

impl Status for Full {
    fn metrics(&self, _: &str) -> Result<(&'static str, String), String> {
        Err("none".to_owned())
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn observer(&self) -> Option<Arc<Observer>> {
        Some(Arc::clone(&self.0))
    }

    fn state(&self) -> State {
        State { clients: 20_000, max_clients: 20_000, missed: Some(7), ..State::default() }
    }

    fn pools(&self) -> Vec<PoolLine> {
        let pool = |n: usize| PoolLine {
            database: "d".repeat(63),
            user: format!("user {n}"),
            size: 20,
            active: 20,
            waiting: n,
            oldest: Duration::from_secs(2),
            down: Some("e".repeat(1_000)),
            ..PoolLine::default()
        };
        (0..200).map(pool).collect()
    }

    fn clients(&self, most: usize) -> Vec<ClientLine> {
        let client = |id| ClientLine {
            id,
            application: "a".repeat(10_000),
            state: "idle",
            waiting: Duration::from_nanos(id),
            ..ClientLine::default()
        };
        (0..most as u64).map(client).collect()
    }

    fn tenant(&self, _: &str) -> Option<TenantLine> {
        Some(TenantLine { waiting: 1, servers: 3, max_servers: Some(3), ..TenantLine::default() })
    }
}

fn caller(tenant: u64) -> Arc<Caller> {
    Arc::new(Caller {
        database: "app".into(),
        user: "app".into(),
        application: "web".into(),
        tenant: Some(format!("tenant {tenant}").into()),
    })
}

fn record(n: u64, shape: &Arc<Shape>, caller: &Arc<Caller>) -> StatementRecord {
    let tags = Tags { route: Some("/r".repeat(2_000).into()), ..Tags::default() };
    let detail = Detail { text: Some("secret".into()), parameters: vec![Some("secret".into())] };
    StatementRecord {
        shape: Arc::clone(shape),
        caller: Arc::clone(caller),
        tags: Some(Arc::new(tags)),
        client: ClientId(n % 50),
        transaction: n as u32,
        at: n,
        phases: Phases { first: 1_000 * n, rest: n, ..Phases::default() },
        served: Served::Server,
        continues: false,
        rows: n,
        bytes: n,
        error: n.is_multiple_of(7).then_some(*b"23505"),
        values: n,
        detail: n.is_multiple_of(100).then(|| Box::new(detail)),
    }
}

/// All tables are full.
fn full() -> Arc<Page> {
    let n_plus_one = NPlusOneSettings { threshold: 5, ..NPlusOneSettings::default() };
    let settings = ObserverSettings { n_plus_one, slow: Some(Duration::ZERO), ..ObserverSettings::default() };
    let observer = Observer::new(settings, 1);
    let recorder = observer.recorder(0);
    let callers: Vec<_> = (0..TENANTS).map(caller).collect();
    for n in 0..STATEMENTS {
        let text = format!("select {n} /* {} */", "<script>".repeat(500));
        let shape = Arc::new(Shape { fingerprint: n, text: text.into() });
        for again in 0..3 {
            let caller = &callers[((n + again) % TENANTS) as usize];
            recorder.statement(record(n * 3 + again, &shape, caller));
        }
    }
    for (n, caller) in callers.iter().enumerate() {
        recorder.transaction(TransactionRecord {
            caller: Arc::clone(caller),
            at: n as u64,
            length: 1_000_000,
            idle: 0,
            wait: 5,
            statements: 3,
            received: 1,
            sent: 1,
            client_parses: 0,
            server_parses: 0,
            binds: 0,
        });
    }
    let page = Page::new(Arc::new(Full(observer)));
    (0..70).for_each(|n| page.tick(n));
    page
}

#[test]
fn answers_are_bounded_whatever_there_is() {
    let page = full();
    let tables = ["statements", "tenants", "pools", "clients", "n_plus_one", "slow", "errors"];
    for table in tables {
        for query in ["", "limit=500", "limit=500&tenant=tenant+7", "limit=500&filter=e&sort=text&order=asc"]
        {
            let answer = page.read(table, &Ask::read(query)).unwrap();
            let (rows, size) = (answer["rows"].as_array().unwrap().len(), answer.to_string().len());
            assert!(rows <= 500 && size < 1_500_000, "{table}?{query}: {rows} rows, {size} bytes");
        }
    }
    let all = page.read("statements", &Ask::read("limit=500&sort=calls")).unwrap();
    assert_eq!((all["rows"].as_array().unwrap().len(), &all["matched"]), (500, &all["all"]));
    let detail = page.read("statement", &Ask::read("database=app&fingerprint=1387")).unwrap();
    assert!(detail.to_string().len() < 300_000, "{}", detail.to_string().len());
    let overview = page.read("overview", &Ask::read("")).unwrap();
    assert!(overview.to_string().len() < 200_000);
    let findings = overview["findings"].as_array().unwrap();
    assert!(findings.len() <= 8 && findings[0]["gravity"] == "bad", "{findings:?}");
    assert!(page.read("nothing", &Ask::read("")).is_none());
}

#[test]
fn what_a_slow_statement_had_in_it_is_not_told() {
    let answer = full().read("slow", &Ask::read("limit=500")).unwrap().to_string();
    assert!(answer.contains("select ") && !answer.contains("secret"));
}
