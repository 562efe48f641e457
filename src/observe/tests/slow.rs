//! The slow log.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::observe::Detail;

/// What was logged.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is logged while `run` runs.
fn logged(run: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).with_target(false).finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn slow(text: &str) -> StatementRecord {
    let mut record = record(text, &caller(Some("acme")), 1500);
    record.phases.wait = 2_345_678;
    record.detail = Some(Box::default());
    record.tags = tags(text);
    record
}

#[test]
fn a_slow_statement_is_logged_and_kept() {
    let observer = observer();
    let text = "SELECT 'secret' FROM t /*route='%2Forders',traceparent='00-1'*/";
    let before = SystemTime::now();
    let lines = logged(|| {
        observer.recorder(0).statement(slow(text));
        observer.recorder(0).statement(record("SELECT b", &caller(None), 1));
        observer.collect();
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "slow statement",
        "database=\"shop\"",
        "user=\"web\"",
        "application=\"app\"",
        "tenant=\"acme\"",
        "route=\"/orders\"",
        "traceparent=\"00-1\"",
        "ms=\"1502.345\"",
        "wait_ms=\"2.345\"",
        "first_ms=\"1500.000\"",
        "rows=1",
        "statement=\"select ? from t\"",
        "client=C-1",
    ] {
        assert!(lines[0].contains(part), "{part} in {}", lines[0]);
    }
    assert!(
        !lines[0].contains("secret") && !lines[0].contains("parameters") && !lines[0].contains("left_out")
    );
    let rows = observer.slow();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].phases.total(), 1_502_345_678);
    assert_eq!(rows[0].detail, Detail::default());
    assert!(rows[0].at <= SystemTime::now() && rows[0].at + std::time::Duration::from_secs(60) > before);
    assert_eq!(observer.databases()[0].slow, 1);
}

#[test]
fn text_and_parameters_are_logged_when_they_are_given() {
    let observer = observer();
    let mut record = slow("SELECT $1, $2");
    let parameters = vec![Some("x\ny".into()), None];
    record.detail = Some(Box::new(Detail { text: Some("SELECT $1, $2".into()), parameters }));
    record.error = Some(*b"57014");
    let lines = logged(|| {
        observer.recorder(0).statement(record);
        observer.collect();
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(r#"text="SELECT $1, $2""#), "{lines:?}");
    assert!(lines[0].contains(r#"parameters=[Some("x\ny"), None]"#), "{lines:?}");
    assert!(lines[0].contains("error=57014"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_ten_are_logged_in_a_second() {
    let observer = observer();
    let lines = logged(|| {
        (0..250).for_each(|_| observer.recorder(0).statement(slow("SELECT a")));
        observer.collect();
    });
    assert_eq!(lines.len(), 10);
    assert_eq!(observer.slow().len(), 200);
    tokio::time::advance(std::time::Duration::from_millis(1100)).await;
    let lines = logged(|| {
        observer.collect();
        observer.collect();
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("left_out=240"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_repeats_is_logged_once_a_minute() {
    let observer = observer();
    let run = |client| {
        logged(|| {
            for n in 0..30 {
                let text = format!("SELECT a FROM items WHERE id = {n} /*route='r'*/");
                let mut record = record(&text, &caller(None), 1);
                (record.client, record.tags, record.at) = (ClientId(client), tags(&text), observer.now());
                observer.recorder(0).statement(record);
            }
            observer.collect();
        })
    };
    let lines = run(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("again and again") && lines[0].contains("= ANY($1)"), "{lines:?}");
    assert!(lines[0].contains("route=\"r\""), "{lines:?}");
    assert_eq!(run(2).len(), 0);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(run(3).len(), 1);
    assert_eq!(observer.n_plus_one()[0].occurrences, 3);
}
