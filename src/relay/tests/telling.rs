//! What sessions tell of their statements, with a clock that stands still.

use super::*;
use crate::observe::{Phases, StatementRow};

const MS: u64 = 1_000_000;

fn rows(house: &House) -> Vec<StatementRow> {
    house.shared.observer.as_ref().unwrap().statements()
}

fn row(house: &House, text: &str) -> StatementRow {
    let rows = rows(house);
    let found = rows.iter().find(|row| row.shape.as_ref().is_some_and(|shape| &*shape.text == text));
    found.unwrap_or_else(|| panic!("{text} is not among {rows:?}")).clone()
}

async fn slow_house() -> House {
    let house = House::new(sized(1));
    drop(house.client().await);
    moment().await;
    house.servers.delay.store(100, Ordering::SeqCst);
    house
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_connection_is_told_so() {
    let house = slow_house().await;
    let (mut one, mut two) = (house.client().await, house.client().await);
    one.send(&query("BEGIN")).await;
    sleep(Duration::from_millis(30)).await;
    two.send(&query("SELECT 3")).await;
    one.until_ready().await;
    assert_eq!(one.ask(&query("COMMIT")).await, "C ZI");
    two.until_ready().await;
    moment().await;
    let told = row(&house, "select ?");
    let times = Phases { wait: 170 * MS, first: 100 * MS, ..Phases::default() };
    assert_eq!((told.counts.calls, told.counts.rows, told.counts.times), (1, 3, times));
    let begin = row(&house, "begin");
    assert_eq!(begin.counts.times, Phases { first: 100 * MS, ..Phases::default() });
    let totals = house.shared.observer.as_ref().unwrap().databases();
    assert_eq!(totals[0].transactions, 2);
    assert_eq!((totals[0].transaction_time, totals[0].wait_time), (300 * MS, 170 * MS));
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_brought_first_count_as_preamble() {
    let house = slow_house().await;
    let mut mars = house.client_with(&[("TimeZone", "Mars")]).await;
    let mut copy = [parse("", "COPY t FROM STDIN"), bind("", "", &[]), execute("", 0)].concat();
    copy.extend([copy_data("1\n"), bare(front::COPY_DONE), sync()].concat());
    mars.send(&copy).await;
    mars.until_ready().await;
    moment().await;
    let told = row(&house, "copy t from stdin").counts;
    assert_eq!(told.calls, 1);
    assert_eq!(told.times.wait, 0);
    assert_eq!(told.total, told.times.total());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lets_its_transaction_lie_is_told_of() {
    let house = slow_house().await;
    let mut client = house.client().await;
    client.ask(&query("BEGIN")).await;
    sleep(Duration::from_millis(700)).await;
    client.ask(&query("SELECT 1")).await;
    sleep(Duration::from_millis(300)).await;
    client.ask(&query("COMMIT")).await;
    moment().await;
    let totals = house.shared.observer.as_ref().unwrap().databases();
    assert_eq!(totals[0].idle_time, 1000 * MS);
    assert_eq!((totals[0].transactions, totals[0].transaction_time), (1, 1300 * MS));
    assert_eq!((totals[0].statements, totals[0].server_time), (3, 300 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_time_is_told_so() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    client.send(&query("SELECT 8000")).await;
    sleep(Duration::from_secs(3)).await;
    client.until_ready().await;
    moment().await;
    let told = row(&house, "select ?").counts;
    assert_eq!(told.rows, 8000);
    let waited = told.times.client + told.times.rest;
    assert!(waited >= 2900 * MS, "{told:?}");
    // It took longer than slow_query.
    let slow = house.shared.observer.as_ref().unwrap().slow();
    assert_eq!(slow.len(), 1);
    assert_eq!(slow[0].detail.text.as_deref(), Some("SELECT 8000"));
}

#[tokio::test(start_paused = true)]
async fn parameters_of_a_slow_statement_are_shown_as_they_came() {
    let house = slow_house().await;
    house.servers.delay.store(3000, Ordering::SeqCst);
    let mut client = house.client().await;
    let batch = [parse("a", "SELECT 1 $1"), bind("", "a", &["it's"]), execute("", 0), sync()].concat();
    assert_eq!(client.ask(&batch).await, "1 2 D C ZI");
    moment().await;
    let slow = house.shared.observer.as_ref().unwrap().slow();
    assert_eq!(slow[0].detail.text.as_deref(), Some("SELECT 1 $1"));
    assert_eq!(slow[0].detail.parameters, [Some("it's".into())]);
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_with_their_statement_or_without() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    assert_eq!(client.ask(&query("DIVIDE")).await, "T D E22012 ZI");
    assert_eq!(client.ask(&[bind("", "missing", &[]), sync()].concat()).await, "E26000 ZI");
    moment().await;
    let errors = house.shared.observer.as_ref().unwrap().errors();
    let code = |code: &str| errors.iter().find(|row| row.sqlstate.as_deref() == Some(code)).unwrap().clone();
    assert_eq!((code("22012").count, code("26000").count), (1, 1));
    assert_eq!(row(&house, "divide").counts.errors, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_answered_is_not_told_of() {
    let house = House::new(sized(2));
    let mut client = house.client().await;
    assert_eq!(client.ask(&query("SELECT 1")).await, "T D C ZI");
    client.send(&query("CALL hang")).await;
    moment().await;
    drop(client);
    moment().await;
    let rows = rows(&house);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(row(&house, "select ?").counts.calls, 1);
}
