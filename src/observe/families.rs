//! What the observer knows, as metrics: by database and login, by tenant, and of the heaviest statements.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::OTHER;
use super::exposition::{Exposition, Kind};
use super::histogram::FixedHistogram;
use super::observer::Observer;
use super::rest::{Rest, Row, Sums};
use super::rows::{Counts, DatabaseRow, StatementRow, TenantRow};

/// Statements that have labels of their own: the heaviest ones.
const TOP: usize = 100;
/// So much of a statement's text is a label, in bytes.
const LABEL_TEXT: usize = 200;

/// What is remembered from one reading of the metrics to the next.
#[derive(Debug, Default)]
pub(super) struct Told {
    statements: Rest<u64, 5>,
    tenants: Rest<Option<Arc<str>>, 9>,
}

impl Told {
    /// Writes all that the observer knows.
    pub(super) fn write(&mut self, out: &mut Exposition, observer: &Observer) {
        let databases = observer.databases();
        sums(out, &databases);
        errors(out, &databases);
        times(out, &databases);
        self.tenants(out, &observer.tenants());
        self.statements(out, &observer.statements());
        let memory = u64::try_from(observer.memory()).unwrap_or(u64::MAX);
        let help = "Memory for what is known of statements and tenants.";
        out.family(Kind::Gauge, "howdah_observe_memory_bytes", help).count(&[], memory);
    }

    fn tenants(&mut self, out: &mut Exposition, rows: &[TenantRow]) {
        let values = |row: &TenantRow| {
            let Counts { calls, errors, cached, rows, bytes, total, .. } = row.counts;
            [calls, errors, cached, rows, bytes, total, row.transactions, row.transaction_time, row.wait]
        };
        // A tenant who is called so would have the line of the others.
        let shown = |row: &TenantRow| !row.is_other && row.tenant.as_deref() != Some(OTHER);
        let of = |row: &TenantRow| Row {
            database: Arc::clone(&row.database),
            key: (!row.is_other).then(|| row.tenant.clone()),
            shown: shown(row),
            sums: values(row),
        };
        self.tenants.look(rows.iter().map(of).collect());
        let mut lines: Vec<([&str; 2], Sums<9>)> = rows
            .iter()
            .filter(|row| shown(row))
            .map(|row| ([&*row.database, row.tenant.as_deref().unwrap_or_default()], values(row)))
            .collect();
        lines.extend(others(self.tenants.others()));
        let labels = ["database", "tenant"];
        for (at, (name, help, seconds)) in TENANT.iter().enumerate() {
            family(out, name, help, *seconds, labels, lines.iter().map(|(l, sums)| (*l, sums.get(at))));
        }
    }

    fn statements(&mut self, out: &mut Exposition, rows: &[StatementRow]) {
        let values =
            |counts: &Counts| [counts.calls, counts.errors, counts.cached, counts.rows, counts.total];
        let mut top = Vec::new();
        let mut looked = Vec::with_capacity(rows.len());
        for row in rows {
            let shown = row.shape.as_ref().filter(|_| top.len() < TOP);
            if let Some(shape) = shown {
                top.push((
                    &*row.database,
                    format!("{:016x}", shape.fingerprint),
                    &*shape.text,
                    values(&row.counts),
                ));
            }
            looked.push(Row {
                database: Arc::clone(&row.database),
                key: row.shape.as_ref().map(|shape| shape.fingerprint),
                shown: shown.is_some(),
                sums: values(&row.counts),
            });
        }
        self.statements.look(looked);
        let help = "Statements that are kept on their own.";
        let kept = rows.iter().filter(|row| row.shape.is_some()).count() as u64;
        out.family(Kind::Gauge, "howdah_observe_statements", help).count(&[], kept);
        let mut lines: Vec<([&str; 2], Sums<5>)> =
            top.iter().map(|(database, print, _, sums)| ([*database, print.as_str()], *sums)).collect();
        lines.extend(others(self.statements.others()));
        let labels = ["database", "fingerprint"];
        for (at, (name, help, seconds)) in QUERY.iter().enumerate() {
            family(out, name, help, *seconds, labels, lines.iter().map(|(l, sums)| (*l, sums.get(at))));
        }
        let help = "Texts of the heaviest statements, without their constants and cut.";
        let mut info = out.family(Kind::Info, "howdah_query_info", help);
        for (database, print, text, _) in &top {
            info.count(&[("database", database), ("fingerprint", print), ("query", &short(text))], 1);
        }
    }
}

/// A metric: its name, its help, and whether its sums are nanoseconds, to be told in seconds.
type Sum = (&'static str, &'static str, bool);

const TENANT: [Sum; 9] = [
    ("howdah_tenant_statements_total", "Statements of a tenant.", false),
    ("howdah_tenant_errors_total", "Statements of a tenant that failed.", false),
    (
        "howdah_tenant_cached_statements_total",
        "Statements of a tenant that were answered from memory.",
        false,
    ),
    ("howdah_tenant_rows_total", "Rows that statements of a tenant returned or changed.", false),
    ("howdah_tenant_sent_bytes_total", "Bytes of the answers to statements of a tenant.", false),
    ("howdah_tenant_statement_seconds_total", "What clients of a tenant waited for their statements.", true),
    ("howdah_tenant_transactions_total", "Transactions of a tenant.", false),
    ("howdah_tenant_transaction_seconds_total", "How long a tenant had server connections.", true),
    ("howdah_tenant_wait_seconds_total", "How long transactions of a tenant waited for a connection.", true),
];

const QUERY: [Sum; 5] = [
    ("howdah_query_calls_total", "Calls of one of the heaviest statements.", false),
    ("howdah_query_errors_total", "Calls of one of the heaviest statements that failed.", false),
    (
        "howdah_query_cached_total",
        "Calls of one of the heaviest statements that were answered from memory.",
        false,
    ),
    ("howdah_query_rows_total", "Rows that one of the heaviest statements returned or changed.", false),
    ("howdah_query_seconds_total", "What clients waited for one of the heaviest statements.", true),
];

/// As [`Sum`], and where it is in a row.
type Read = (&'static str, &'static str, bool, fn(&DatabaseRow) -> u64);

const LOGIN: [Read; 13] = [
    ("howdah_statements_total", "Statements, with those that failed or came from memory.", false, |r| {
        r.statements
    }),
    ("howdah_statement_errors_total", "Statements that failed.", false, |r| r.errors),
    ("howdah_cached_statements_total", "Statements that were answered from memory.", false, |r| r.cached),
    ("howdah_slow_statements_total", "Statements that took as long as slow_query.", false, |r| r.slow),
    (
        "howdah_n_plus_one_runs_total",
        "Times that a client ran one statement again and again with only the values different.",
        false,
        |r| r.n_plus_one,
    ),
    ("howdah_rows_total", "Rows that statements returned or changed.", false, |r| r.rows),
    ("howdah_received_bytes_total", "Bytes from clients.", false, |r| r.received),
    ("howdah_sent_bytes_total", "Bytes to clients.", false, |r| r.sent),
    ("howdah_server_seconds_total", "How long servers took over statements.", true, |r| r.server_time),
    (
        "howdah_idle_transaction_seconds_total",
        "How long transactions had a server connection with nothing to do.",
        true,
        |r| r.idle_time,
    ),
    ("howdah_client_parses_total", "Parse messages from clients.", false, |r| r.client_parses),
    ("howdah_server_parses_total", "Parse messages to servers.", false, |r| r.server_parses),
    ("howdah_binds_total", "Bind messages from clients.", false, |r| r.binds),
];

fn sums(out: &mut Exposition, rows: &[DatabaseRow]) {
    for (name, help, seconds, value) in LOGIN {
        let mut family = out.family(Kind::Counter, name, help);
        for row in rows {
            let labels = [("database", &*row.database), ("user", &*row.user)];
            if seconds {
                family.value(&labels, in_seconds(value(row)));
            } else {
                family.count(&labels, value(row));
            }
        }
    }
}

fn errors(out: &mut Exposition, rows: &[DatabaseRow]) {
    let help = "Errors that clients got, Howdah's own too, by the class of their SQLSTATE.";
    let mut family = out.family(Kind::Counter, "howdah_errors_total", help);
    for row in rows {
        for (class, count) in &row.errors_by_class {
            let class = String::from_utf8_lossy(class);
            let labels = [("database", &*row.database), ("user", &*row.user), ("class", &*class)];
            family.count(&labels, *count);
        }
    }
}

fn times(out: &mut Exposition, rows: &[DatabaseRow]) {
    let help = "What clients waited for a statement.";
    let mut family = out.family(Kind::Histogram, "howdah_statement_seconds", help);
    for row in rows {
        let labels = [("database", &*row.database), ("user", &*row.user)];
        histogram(&row.total, 1, |buckets, sum, count| family.histogram(&labels, buckets, sum, count));
    }
    let help = "What of a statement's time was what: wait for a connection, preamble, first byte, rest, client, cache.";
    let mut family = out.family(Kind::Histogram, "howdah_statement_phase_seconds", help);
    for row in rows {
        for (phase, times) in DatabaseRow::PHASES.into_iter().zip(&row.phases) {
            let labels = [("database", &*row.database), ("user", &*row.user), ("phase", phase)];
            // What never happened has no lines, and there are six phases for each login: half of the buckets.
            histogram(times, 2, |buckets, sum, count| {
                if count > 0 {
                    family.histogram(&labels, buckets, sum, count);
                }
            });
        }
    }
}

/// Every so manieth bucket of a histogram.
fn histogram(
    histogram: &FixedHistogram,
    step: usize,
    write: impl FnOnce(std::vec::IntoIter<(f64, u64)>, f64, u64),
) {
    let mut below = 0;
    let mut buckets = Vec::with_capacity(FixedHistogram::BOUNDS.len());
    for (n, (bound, count)) in FixedHistogram::BOUNDS.iter().zip(&histogram.counts).enumerate() {
        below += count;
        if (n + 1) % step == 0 {
            buckets.push((in_seconds(*bound), below));
        }
    }
    write(buckets.into_iter(), in_seconds(histogram.sum), histogram.count());
}

/// One metric of several that have the same labels.
fn family<'a>(
    out: &mut Exposition,
    name: &str,
    help: &str,
    seconds: bool,
    labels: [&str; 2],
    lines: impl Iterator<Item = ([&'a str; 2], Option<&'a u64>)>,
) {
    let mut family = out.family(Kind::Counter, name, help);
    for ([first, second], sum) in lines {
        let [one, two] = labels;
        let labels = [(one, first), (two, second)];
        let sum = sum.copied().unwrap_or_default();
        if seconds {
            family.value(&labels, in_seconds(sum));
        } else {
            family.count(&labels, sum);
        }
    }
}

/// Lines for what has no labels of its own, if there is anything.
fn others<const N: usize>(others: &HashMap<Arc<str>, Sums<N>>) -> impl Iterator<Item = ([&str; 2], Sums<N>)> {
    let mut others: Vec<_> = others.iter().filter(|(_, sums)| sums.iter().any(|sum| *sum > 0)).collect();
    others.sort_unstable_by_key(|(database, _)| *database);
    others.into_iter().map(|(database, sums)| ([&**database, OTHER], *sums))
}

fn in_seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A text as a label: on one line, and cut.
fn short(text: &str) -> String {
    let mut short = String::with_capacity(LABEL_TEXT);
    for word in text.split_whitespace() {
        let gap = if short.is_empty() { "" } else { " " };
        if short.len() + gap.len() + word.len() > LABEL_TEXT {
            let left = LABEL_TEXT.saturating_sub(short.len() + gap.len());
            let cut = (0..=left).rev().find(|at| word.is_char_boundary(*at)).unwrap_or_default();
            let _ = write!(short, "{gap}{}…", word.get(..cut).unwrap_or_default());
            break;
        }
        let _ = write!(short, "{gap}{word}");
    }
    short
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;
    use crate::ids::{ClientId, PoolKey};
    use crate::observe::{
        Caller, Format, Metrics, ObserverSettings, Phases, Served, StatementRecord, TransactionRecord,
    };
    use crate::sql::Shape;

    fn caller(database: &str, user: &str, tenant: Option<&str>) -> Arc<Caller> {
        let tenant = tenant.map(Arc::from);
        Arc::new(Caller { database: database.into(), user: user.into(), application: "".into(), tenant })
    }

    fn record(caller: &Arc<Caller>, text: &str) -> StatementRecord {
        StatementRecord {
            shape: Arc::new(Shape::new(text.as_bytes(), true)),
            caller: Arc::clone(caller),
            tags: None,
            client: ClientId(1),
            transaction: 1,
            at: 0,
            phases: Phases { first: 2_000_000, rest: 1_000_000, client: 500_000, ..Phases::default() },
            served: Served::Server,
            continues: false,
            rows: 3,
            bytes: 70,
            error: None,
            values: 0,
            detail: None,
        }
    }

    fn transaction(caller: &Arc<Caller>) -> TransactionRecord {
        TransactionRecord {
            caller: Arc::clone(caller),
            at: 0,
            length: 4_000_000,
            idle: 1_000_000,
            wait: 250_000_000,
            statements: 1,
            received: 50,
            sent: 80,
            client_parses: 2,
            server_parses: 1,
            binds: 3,
        }
    }

    fn observer(max_tenants: usize) -> Arc<Observer> {
        Observer::new(ObserverSettings { max_tenants, ..ObserverSettings::default() }, 1)
    }

    #[track_caller]
    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "lacks {line}:\n{text}");
    }

    #[test]
    fn what_statements_cost_is_told_by_login_tenant_and_text() {
        let (metrics, observer) = (Metrics::new().unwrap(), observer(10));
        let recorder = observer.recorder(0);
        let acme = caller("app", "u", Some("acme"));
        recorder.statement(record(&acme, "SELECT  *\nFROM t WHERE \"a\" = 1"));
        recorder.statement(StatementRecord {
            error: Some(*b"23505"),
            ..record(&acme, "INSERT INTO t VALUES (2)")
        });
        recorder.transaction(transaction(&acme));
        let text = metrics.render(Format::Text, Some(&observer));
        for line in [
            r#"howdah_statements_total{database="app",user="u"} 2"#,
            r#"howdah_statement_errors_total{database="app",user="u"} 1"#,
            r#"howdah_errors_total{database="app",user="u",class="23"} 1"#,
            r#"howdah_rows_total{database="app",user="u"} 6"#,
            r#"howdah_server_seconds_total{database="app",user="u"} 0.006"#,
            r#"howdah_received_bytes_total{database="app",user="u"} 50"#,
            r#"howdah_sent_bytes_total{database="app",user="u"} 80"#,
            r#"howdah_idle_transaction_seconds_total{database="app",user="u"} 0.001"#,
            r#"howdah_server_parses_total{database="app",user="u"} 1"#,
            r#"howdah_statement_seconds_bucket{database="app",user="u",le="0.0025"} 0"#,
            r#"howdah_statement_seconds_bucket{database="app",user="u",le="0.005"} 2"#,
            r#"howdah_statement_seconds_sum{database="app",user="u"} 0.007"#,
            r#"howdah_statement_phase_seconds_count{database="app",user="u",phase="first"} 2"#,
            r#"howdah_tenant_statements_total{database="app",tenant="acme"} 2"#,
            r#"howdah_tenant_wait_seconds_total{database="app",tenant="acme"} 0.25"#,
            "howdah_observe_statements 2",
        ] {
            has(&text, line);
        }
        assert!(!text.contains(r#"phase="cache""#), "what never happened has no lines: {text}");
        let info = text
            .lines()
            .find(|line| line.starts_with("howdah_query_info") && line.contains("\\\"a\\\""))
            .unwrap();
        assert!(info.to_lowercase().contains(r#"query="select * from t where \"a\" = "#), "{info}");
        assert!(!info.contains("= 1"), "no constants: {info}");
    }

    #[test]
    fn tenants_beyond_the_bound_and_one_called_other_are_counted_together() {
        let (metrics, observer) = (Metrics::new().unwrap(), observer(3));
        let recorder = observer.recorder(0);
        for tenant in ["other", "a", "b", "c", "d", "e", "f"] {
            let caller = caller("app", "u", Some(tenant));
            (0..10).for_each(|_| recorder.statement(record(&caller, "SELECT 1")));
        }
        let text = metrics.render(Format::Text, Some(&observer));
        let lines: Vec<&str> =
            text.lines().filter(|line| line.starts_with("howdah_tenant_statements_total{")).collect();
        let all: u64 =
            lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
        assert_eq!(all, 70, "{lines:?}");
        assert!(
            lines.len() <= 4 && lines.iter().filter(|line| line.contains(r#"tenant="other""#)).count() == 1
        );
    }

    #[test]
    fn a_text_is_one_line_and_cut_between_letters() {
        assert_eq!(short(" SELECT\n\t1  ,2"), "SELECT 1 ,2");
        let long = short(&format!("SELECT {}", "ä".repeat(500)));
        assert!(long.len() <= LABEL_TEXT + "…".len() && long.ends_with('…'), "{long}");
        assert!(short(&"x ".repeat(500)).len() <= LABEL_TEXT + 3);
        assert_eq!(short(""), "");
    }

    /// As much as a large installation has.
    fn large() -> (Metrics, Arc<Observer>) {
        let metrics = Metrics::new().unwrap();
        let observer = observer(500);
        let recorder = observer.recorder(0);
        for pool in 0..200_u64 {
            let (database, user) = (format!("database_{}", pool % 20), format!("application_user_{pool}"));
            let key = PoolKey { database: database.as_str().into(), user: user.as_str().into() };
            let handles = metrics.pool(&key);
            handles.waiting.set(1);
            for n in 0..25 {
                let tenant = format!("tenant-{:04}", (pool * 25 + n) % 500);
                let caller = caller(&database, &user, Some(&tenant));
                let text = format!(
                    "SELECT column_{n} FROM table_{pool} WHERE id = 1 AND {}",
                    "a = b AND ".repeat(20)
                );
                let mut record = record(&caller, &text);
                let phases = &mut record.phases;
                (phases.wait, phases.preamble) = (1000 * n, 2000 * n);
                recorder.statement(record.clone());
                recorder.statement(StatementRecord {
                    served: Served::Cache,
                    phases: Phases { cache: 900, client: 100, ..Phases::default() },
                    error: Some(*b"57014"),
                    ..record
                });
                recorder.transaction(transaction(&caller));
            }
        }
        (metrics, observer)
    }

    #[test]
    fn a_large_installation_fits() {
        let (metrics, observer) = large();
        for format in [Format::Text, Format::OpenMetrics] {
            let text = metrics.render(format, Some(&observer));
            assert!(text.len() < 5_000_000, "{} bytes", text.len());
            let mut seen = HashSet::new();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let series = line.rsplit_once(' ').unwrap().0;
                assert!(seen.insert(series), "twice: {series}");
            }
            let top = text.lines().filter(|line| line.starts_with("howdah_query_info")).count();
            assert_eq!(top, TOP);
        }
    }
}
