//! Sessions from end to end: clients and servers on pipes, the servers are models, the clock stands still.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::backend::{Backend, ConnectError, Connecting, Connector};
use crate::config::{Database, PoolMode, PoolOverrides, PoolSettings, ServerTls, TenantRule, User};
use crate::frontend::LoggedIn;
use crate::ids::{BackendId, ClientId, PoolKey, SslMode};
use crate::net::Stream;
use crate::observe::{Metrics, Observer, ObserverSettings};
use crate::pool::{Pool, PoolConfig, Registry};
use crate::session::Settings;
use crate::session::tests::model::Model;
use crate::session::tests::rig::{self, bare, bind, copy_data, execute, parse, query, run, sync, words};
use crate::wire::{CancelRequest, Side, back, front};

mod about;
mod telling;

/// What a pipe holds.
const PIPE: usize = 16 << 10;

/// Servers that are models, and a few things that models do not do: see [`Servers::serve`].
#[derive(Default)]
struct Servers {
    models: Mutex<Vec<Arc<Mutex<Model>>>>,
    closed: AtomicUsize,
    down: AtomicBool,
    /// Answers are written byte by byte.
    split: AtomicBool,
    /// Milliseconds until an answer comes.
    delay: AtomicU64,
    /// Bytes written by a flood.
    flooded: AtomicUsize,
}

impl Servers {
    fn made(&self) -> usize {
        self.models.lock().len()
    }

    fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    fn log(&self, n: usize) -> Vec<String> {
        self.models.lock()[n].lock().log.clone()
    }

    async fn serve(self: Arc<Self>, mut io: DuplexStream, model: Arc<Mutex<Model>>) {
        let mut buf = vec![0; 4096];
        while let Ok(n @ 1..) = io.read(&mut buf).await {
            let bytes = &buf[..n];
            let says = |what: &str| memchr::memmem::find(bytes, what.as_bytes()).is_some();
            if says("CALL hang") {
                continue; // and never answer
            }
            if says("CALL stall") {
                std::future::pending::<()>().await; // and never read again
            }
            if says("CALL flood") {
                self.flood(&mut io).await;
            }
            if says("CALL") || bytes[0] == front::TERMINATE {
                break;
            }
            let answer = {
                let mut model = model.lock();
                model.feed(bytes);
                model.answers()
            };
            let delay = self.delay.load(Ordering::SeqCst);
            if delay > 0 {
                sleep(Duration::from_millis(delay)).await;
            }
            let most = if self.split.load(Ordering::SeqCst) { 1 } else { usize::MAX };
            for piece in answer.chunks(most) {
                if io.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        self.closed.fetch_add(1, Ordering::SeqCst);
    }

    /// Rows without an end.
    async fn flood(&self, io: &mut DuplexStream) {
        let row = [&[back::DATA_ROW, 0, 0, 4, 6, 0, 0][..], &[b'x'; 1024]].concat();
        assert_eq!(row.len(), 1 + 0x406);
        while io.write_all(&row).await.is_ok() {
            self.flooded.fetch_add(row.len(), Ordering::SeqCst);
        }
    }
}

struct Reach(Arc<Servers>);

impl Connector for Reach {
    fn connect(&self, id: BackendId, _worker: usize) -> Connecting {
        let servers = Arc::clone(&self.0);
        Box::pin(async move {
            if servers.down.load(Ordering::SeqCst) {
                return Err(ConnectError::Io(std::io::ErrorKind::ConnectionRefused.into()));
            }
            let (near, far) = tokio::io::duplex(PIPE);
            let model = Arc::new(Mutex::new(Model::new(&[])));
            servers.models.lock().push(Arc::clone(&model));
            tokio::spawn(Arc::clone(&servers).serve(far, model));
            Ok(Backend::over_pipe(near, id, 10))
        })
    }
}

struct House {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    servers: Arc<Servers>,
    client_idle: Option<Duration>,
    next: AtomicU64,
}

fn observed() -> ObserverSettings {
    ObserverSettings { slow: Some(Duration::from_secs(2)), parameters: true, ..ObserverSettings::default() }
}

fn sized(size: usize) -> PoolSettings {
    PoolSettings { default_pool_size: size, ..PoolSettings::default() }
}

impl House {
    fn new(settings: PoolSettings) -> Self {
        let metrics = Metrics::new().unwrap();
        let key = PoolKey { database: "shop".into(), user: "app".into() };
        let servers = Arc::new(Servers::default());
        let connector = Arc::new(Reach(Arc::clone(&servers)));
        let pool_metrics = metrics.pool(&key);
        let config = || PoolConfig { settings, connector, metrics: pool_metrics, caching: None };
        let pool = Registry::default().pool(&key, config);
        let weak = Arc::downgrade(&pool);
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(100)).await;
                let Some(pool) = weak.upgrade() else { return };
                pool.tick(0);
            }
        });
        Self {
            shared: Shared::new(metrics, None, None, Some(Observer::new(observed(), 1))),
            pool,
            servers,
            client_idle: None,
            next: AtomicU64::new(1),
        }
    }

    /// Logs in; the welcome is not read yet.
    async fn arrive(&self, settings: &[(&str, &str)]) -> Client {
        let (near, far) = tokio::io::duplex(PIPE);
        let client = LoggedIn {
            replication: None,
            stream: Stream::Pipe(Box::new(near)),
            early: Vec::new(),
            pending: Vec::new(),
            user: Arc::new(User {
                name: "app".into(),
                password: None,
                auth_type: None,
                databases: None,
                tenants: TenantRule::default(),
                role: None,
                pool: PoolOverrides::default(),
            }),
            database_name: "shop".into(),
            database: Arc::new(Database {
                name: "shop".into(),
                host: "localhost".to_owned(),
                port: 5432,
                dbname: None,
                user: None,
                password: None,
                tls: ServerTls { mode: SslMode::Disable, ca_file: None, cert_file: None, key_file: None },
                pool: PoolOverrides::default(),
                cache: true,
            }),
            settings: Settings::new(settings.iter().copied()),
            secret_len: 4,
            keys: None,
            identity: None,
        };
        let host = Host {
            shared: &self.shared,
            pool: &self.pool,
            max_clients: 100,
            client_idle: self.client_idle,
            worker: 0,
        };
        let id = ClientId(self.next.fetch_add(1, Ordering::SeqCst));
        let _ = serve(id, client, &host).await;
        Client { io: far, read: Vec::new(), key: (0, Vec::new()) }
    }

    async fn client(&self) -> Client {
        self.client_with(&[]).await
    }

    async fn client_with(&self, settings: &[(&str, &str)]) -> Client {
        let mut client = self.arrive(settings).await;
        let welcome = client.until_ready().await;
        let key = &welcome.iter().find(|(tag, _)| *tag == back::BACKEND_KEY_DATA).unwrap().1;
        client.key = (u32::from_be_bytes(key[..4].try_into().unwrap()), key[4..].to_vec());
        client
    }
}

struct Client {
    io: DuplexStream,
    read: Vec<u8>,
    key: (u32, Vec<u8>),
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    /// Messages up to the next `ReadyForQuery`, or to the end of the connection.
    async fn until_ready(&mut self) -> Vec<rig::Message> {
        let mut messages = Vec::new();
        loop {
            while let Some(head) = crate::wire::header(Side::Backend, &self.read).unwrap() {
                if self.read.len() < head.len {
                    break;
                }
                let message: Vec<u8> = self.read.drain(..head.len).collect();
                messages.push((head.tag, message[5..].to_vec()));
                if head.tag == back::READY {
                    return messages;
                }
            }
            if !matches!(
                timeout(Duration::from_secs(600), self.io.read_buf(&mut self.read)).await,
                Ok(Ok(1..))
            ) {
                assert!(self.read.is_empty(), "half a message");
                return messages;
            }
        }
    }

    /// Sends, and what comes until the next `ReadyForQuery`, as words.
    async fn ask(&mut self, bytes: &[u8]) -> String {
        self.send(bytes).await;
        words(&self.until_ready().await)
    }

    /// True when the connection is closed and nothing is left to read.
    async fn is_gone(&mut self) -> bool {
        matches!(timeout(Duration::from_secs(1), self.io.read(&mut [0; 64])).await, Ok(Ok(0)))
    }
}

async fn moment() {
    sleep(Duration::from_millis(20)).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_from_end_to_end() {
    let house = House::new(sized(1));
    let mut client = house.arrive(&[("application_name", "me")]).await;
    let welcome = client.until_ready().await;
    assert_eq!(words(&welcome), "S K ZI");
    assert_eq!(welcome[0].1, b"TimeZone\0UTC\0");
    assert_eq!(client.ask(&query("SELECT 2")).await, "T D D C ZI");
    assert_eq!(client.ask(&query("BEGIN")).await, "C ZT");
    assert_eq!(client.ask(&[parse("a", "SELECT 1"), run("a")].concat()).await, "1 2 D C ZT");
    assert_eq!(client.ask(&query("COMMIT")).await, "C ZI");
    assert_eq!(client.ask(&query("DIVIDE")).await, "T D E22012 ZI");
    assert_eq!(client.ask(&sync()).await, "ZI");
    client.send(&bare(front::TERMINATE)).await;
    assert!(client.is_gone().await);
    assert_eq!((house.servers.made(), house.servers.closed(), house.shared.clients.count()), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn settings_go_with_their_client() {
    let house = House::new(sized(1));
    let mut mars = house.client_with(&[("TimeZone", "Mars")]).await;
    let mut venus = house.client_with(&[("TimeZone", "Venus")]).await;
    for (client, zone) in [(&mut mars, "Mars"), (&mut venus, "Venus")] {
        client.send(&query("SHOW TimeZone")).await;
        let answer = client.until_ready().await;
        assert_eq!(answer[1].1, zone.as_bytes());
    }
    assert_eq!(mars.ask(&query("SHOW TimeZone")).await, "T D C ZI", "the change is not seen");
    assert_eq!(house.servers.made(), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_come_one_by_one_on_both_sides() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    house.servers.split.store(true, Ordering::SeqCst);
    let copy = [parse("", "COPY t FROM STDIN"), bind("", "", &[]), execute("", 0)].concat();
    let script = [
        query("SELECT 1"),
        [parse("a", "SELECT 1 $1"), bind("", "a", &["x"]), execute("", 0), sync()].concat(),
        [copy, copy_data("1\n"), bare(front::COPY_DONE), sync()].concat(),
        [bind("", "missing", &[]), sync()].concat(),
        query("COPY t TO STDOUT"),
    ];
    let answers = ["T D C ZI", "1 2 D C ZI", "1 2 G C ZI", "E26000 ZI", "H d c C ZI"];
    for (frames, answer) in script.iter().zip(answers) {
        for byte in frames {
            client.send(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(words(&client.until_ready().await), answer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_stops_its_server() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    client.send(&query("CALL flood")).await;
    sleep(Duration::from_secs(10)).await;
    let before = house.servers.flooded.load(Ordering::SeqCst);
    // Two pipes, and what is read at once.
    assert!(before <= 2 * PIPE + (256 << 10), "{before} bytes are somewhere");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(house.servers.flooded.load(Ordering::SeqCst), before);
    let mut read = vec![0; 1 << 20];
    client.io.read_exact(&mut read).await.unwrap();
    assert!(house.servers.flooded.load(Ordering::SeqCst) > before + (1 << 19), "it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_stops_its_client() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    client.send(&query("CALL stall")).await;
    let chunk = copy_data(&"x".repeat(1000));
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.io.write_all(&chunk)).await.is_ok() {
        sent += chunk.len();
        assert!(sent < 1 << 20, "it takes all of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_in_the_middle_of_a_small_result() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    client.send(&query("SELECT 1000 rows")).await;
    client.io.read_exact(&mut [0; 100]).await.unwrap();
    drop(client);
    moment().await;
    let mut next = house.client().await;
    assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI");
    assert_eq!((house.servers.made(), house.servers.closed()), (1, 0), "drained, and used again");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_in_the_middle_of_a_large_or_slow_result() {
    for text in ["CALL flood", "CALL hang"] {
        let house = House::new(sized(1));
        let mut client = house.client().await;
        client.send(&query(text)).await;
        moment().await;
        drop(client);
        let since = Instant::now();
        let mut next = house.client().await;
        assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI");
        assert!(since.elapsed() < Duration::from_secs(5), "{text}");
        assert_eq!((house.servers.made(), house.servers.closed()), (2, 1), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_with_an_open_batch_leaves_nothing() {
    for sent in [
        parse("", "SELECT 1"),
        [parse("", "INSERT x"), bind("", "", &[]), execute("", 0)].concat(),
        [bind("", "missing", &[]), parse("a", "SELECT 1")].concat(),
        parse("a", "SELECT 1")[..7].to_vec(),
        [query("BEGIN"), parse("", "SELECT 1")].concat(),
    ] {
        let house = House::new(sized(1));
        let mut client = house.client().await;
        client.send(&sent).await;
        moment().await;
        drop(client);
        moment().await;
        let mut next = house.client().await;
        assert_eq!(next.ask(&run("")).await, "E26000 ZI", "{}", sent.escape_ascii());
        assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI");
        assert_eq!(house.servers.models.lock().last().unwrap().lock().status, b'I');
        assert_eq!(house.servers.made(), 1 + house.servers.closed(), "clean, or closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_in_a_transaction_is_rolled_back() {
    for first in ["SELECT 1", "DIVIDE"] {
        let house = House::new(sized(1));
        let mut client = house.client().await;
        assert_eq!(client.ask(&query("BEGIN")).await, "C ZT");
        client.ask(&query(first)).await;
        drop(client);
        let mut next = house.client().await;
        assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI");
        assert!(house.servers.log(0).contains(&"Q ROLLBACK".to_owned()));
        assert_eq!(house.servers.made(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_in_a_copy_costs_the_connection() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    client.send(&[query("COPY t FROM STDIN"), copy_data("1\n")].concat()).await;
    client.io.read_exact(&mut [0; 8]).await.unwrap();
    drop(client);
    let mut next = house.client().await;
    assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI");
    assert_eq!((house.servers.made(), house.servers.closed()), (2, 1));
    assert!(!house.servers.log(0).contains(&"c".to_owned()), "half a COPY must not be committed");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_takes_its_own_client_along_only() {
    let house = House::new(sized(2));
    let (mut one, mut two) = (house.client().await, house.client().await);
    assert_eq!(two.ask(&query("BEGIN")).await, "C ZT");
    assert_eq!(one.ask(&query("CALL die")).await, "E08006");
    assert!(one.is_gone().await);
    assert_eq!(two.ask(&query("COMMIT")).await, "C ZI");
    let mut three = house.client().await;
    assert_eq!(three.ask(&query("SELECT 1")).await, "T D C ZI");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_costs_a_query_and_not_the_session() {
    let house = House::new(PoolSettings { server_login_retry: Some(Duration::from_secs(2)), ..sized(1) });
    let mut client = house.client().await;
    assert_eq!(client.ask(&query("CALL die")).await, "E08006");
    let mut client = house.client().await;
    client.ask(&query("BEGIN")).await;
    house.servers.down.store(true, Ordering::SeqCst);
    let mut other = house.client().await;
    assert_eq!(client.ask(&query("CALL die")).await, "E08006");
    assert_eq!(other.ask(&query("SELECT 1")).await, "E57P03 ZI");
    assert_eq!(other.ask(&[parse("a", "SELECT 1"), run("a")].concat()).await, "E57P03 ZI");
    house.servers.down.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(other.ask(&query("SELECT 1")).await, "T D C ZI");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_a_client_that_waits() {
    let house = House::new(sized(1));
    let (mut holder, mut waiting) = (house.client().await, house.client().await);
    holder.ask(&query("BEGIN")).await;
    for frames in [query("SELECT 1"), [parse("a", "SELECT 1"), run("a")].concat()] {
        waiting.send(&frames).await;
        moment().await;
        let (pid, secret) = waiting.key.clone();
        let wrong = CancelRequest { pid, secret: vec![!secret[0]; secret.len()] };
        assert!(!house.shared.clients.cancel(&wrong).await);
        let since = Instant::now();
        assert!(house.shared.clients.cancel(&CancelRequest { pid, secret }).await);
        assert_eq!(words(&waiting.until_ready().await), "E57014 ZI");
        assert!(since.elapsed() < Duration::from_millis(10));
    }
    // No permit is lost, and a cancel that comes too late hits nothing.
    let (pid, secret) = waiting.key.clone();
    house.shared.clients.cancel(&CancelRequest { pid, secret }).await;
    holder.ask(&query("COMMIT")).await;
    assert_eq!(waiting.ask(&query("SELECT 1")).await, "T D C ZI");
    assert_eq!(holder.ask(&query("SELECT 1")).await, "T D C ZI");
    assert_eq!(house.servers.made(), 1);
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_transactions() {
    let house = House::new(sized(2));
    let (mut resting, mut busy) = (house.client().await, house.client().await);
    busy.ask(&query("BEGIN")).await;
    house.shared.drain();
    assert_eq!(words(&resting.until_ready().await), "E57P01");
    assert!(resting.is_gone().await);
    assert_eq!(busy.ask(&query("SELECT 1")).await, "T D C ZT");
    assert_eq!(busy.ask(&query("COMMIT")).await, "C ZI");
    assert_eq!(words(&busy.until_ready().await), "E57P01");
    assert!(busy.is_gone().await);
    let mut late = house.arrive(&[]).await;
    assert_eq!(words(&late.until_ready().await), "E57P01");
}

#[tokio::test(start_paused = true)]
async fn ending_waits_for_nobody() {
    let house = House::new(sized(1));
    let (mut busy, mut waiting) = (house.client().await, house.client().await);
    busy.ask(&query("BEGIN")).await;
    waiting.send(&query("SELECT 1")).await;
    moment().await;
    house.shared.clients.end();
    assert_eq!(words(&busy.until_ready().await), "E57P01");
    assert_eq!(words(&waiting.until_ready().await), "E57P01");
    moment().await;
    assert_eq!(house.shared.clients.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn timeouts_end_sessions() {
    let limit = Some(Duration::from_secs(7));
    let base = sized(1);
    let cases = [
        ("query_timeout", PoolSettings { query_timeout: limit, ..base.clone() }, "CALL hang", "57014"),
        (
            "idle_transaction_timeout",
            PoolSettings { idle_transaction_timeout: limit, ..base.clone() },
            "BEGIN",
            "25P03",
        ),
        (
            "transaction_timeout",
            PoolSettings { transaction_timeout: limit, ..base.clone() },
            "BEGIN",
            "25P04",
        ),
        (
            "transaction_timeout",
            PoolSettings { transaction_timeout: limit, ..base.clone() },
            "CALL hang",
            "25P04",
        ),
        ("client_idle_timeout", base, "SELECT 1", "57P05"),
    ];
    for (name, settings, text, code) in cases {
        let mut house = House::new(settings);
        house.client_idle = limit.filter(|_| name == "client_idle_timeout");
        let mut client = house.client().await;
        assert_eq!(client.ask(&query("SELECT 1")).await, "T D C ZI");
        sleep(Duration::from_secs(5)).await;
        let since = Instant::now();
        client.send(&query(text)).await;
        let answer = loop {
            let answer = client.until_ready().await;
            if answer.last().is_none_or(|(tag, _)| *tag != back::READY) {
                break answer;
            }
        };
        assert_eq!(words(&answer), format!("E{code}"), "{name} {text}");
        let after = since.elapsed();
        assert!(after >= Duration::from_secs(7) && after < Duration::from_secs(8), "{name}: {after:?}");
        assert!(String::from_utf8_lossy(&answer[0].1).contains(name), "the hint names {name}");
        // The connection is clean or closed.
        let mut next = house.client().await;
        assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_may_last_when_each_wait_is_short() {
    let limit = Some(Duration::from_secs(7));
    let house =
        House::new(PoolSettings { idle_transaction_timeout: limit, query_timeout: limit, ..sized(1) });
    let mut client = house.client().await;
    assert_eq!(client.ask(&query("BEGIN")).await, "C ZT");
    for _ in 0..5 {
        sleep(Duration::from_secs(5)).await;
        assert_eq!(client.ask(&query("SELECT 1")).await, "T D C ZT");
    }
    assert_eq!(client.ask(&query("COMMIT")).await, "C ZI");
}

#[tokio::test(start_paused = true)]
async fn statement_mode_refuses_transactions() {
    let house = House::new(PoolSettings { pool_mode: PoolMode::Statement, ..sized(1) });
    let mut client = house.client().await;
    assert_eq!(client.ask(&query("SELECT 1")).await, "T D C ZI");
    let answer = client.ask(&query("BEGIN")).await;
    assert!(answer.contains("E0A000") || words(&client.until_ready().await) == "E0A000", "{answer}");
    let mut next = house.client().await;
    assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI", "it was rolled back");
}

#[tokio::test(start_paused = true)]
async fn session_mode_keeps_the_connection() {
    let house = House::new(PoolSettings { pool_mode: PoolMode::Session, ..sized(1) });
    let mut client = house.client_with(&[("TimeZone", "Mars")]).await;
    assert_eq!(client.ask(&[parse("a", "SELECT 1"), sync()].concat()).await, "1 ZI");
    assert_eq!(client.ask(&run("a")).await, "2 D C ZI");
    assert_eq!(house.servers.models.lock()[0].lock().prepared(), ["a"]);
    assert_eq!(client.ask(&query("DISCARD ALL")).await, "C ZI");
    client.send(&query("SHOW TimeZone")).await;
    assert_eq!(client.until_ready().await[1].1, b"Mars", "what it asked for when it connected");
    drop(client);
    let mut next = house.client().await;
    next.send(&query("SHOW TimeZone")).await;
    assert_eq!(next.until_ready().await[1].1, b"UTC");
    assert_eq!(house.servers.made(), 1);
    assert!(house.servers.models.lock()[0].lock().prepared().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_longer_than_any_buffer() {
    let house = House::new(sized(1));
    let mut client = house.client().await;
    client.ask(&[parse("a", "SELECT 1"), sync()].concat()).await;
    let batch = [run("a"), query("SELECT 1")].concat();
    let (mut from, mut to) = tokio::io::split(client.io);
    let writing = tokio::spawn(async move {
        for _ in 0..5000 {
            to.write_all(&batch).await.unwrap();
        }
        to
    });
    let (mut bytes, mut answers) = (Vec::new(), 0);
    while answers < 10_000 {
        assert!(from.read_buf(&mut bytes).await.unwrap() > 0, "after {answers}");
        while let Some(head) = crate::wire::header(Side::Backend, &bytes).unwrap() {
            if bytes.len() < head.len {
                break;
            }
            answers += usize::from(head.tag == back::READY);
            assert_ne!(head.tag, back::ERROR);
            bytes.drain(..head.len);
        }
    }
    writing.await.unwrap();
    assert!(bytes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nonsense_ends_the_session_with_a_reason() {
    for (bytes, code) in [
        (&b"Q\0\0\0\x03"[..], "08P01"),
        (b"Q\0\0\0\0", "08P01"),
        (b"Q\xff\xff\xff\xff", "08P01"),
        (b"Q\x7f\xff\xff\xff", "54000"),
        (b"?\0\0\0\x04", "08P01"),
        (b"p\0\0\0\x04", "08P01"),
        (b"Q\0\0\0\x09hello", "08P01"),
        (b"S\0\0\0\x05x", "08P01"),
        (b"B\0\0\0\x06ab", "08P01"),
    ] {
        let house = House::new(sized(1));
        let mut client = house.client().await;
        assert_eq!(client.ask(bytes).await, format!("E{code}"), "{}", bytes.escape_ascii());
        assert!(client.is_gone().await);
        let mut next = house.client().await;
        assert_eq!(next.ask(&query("SELECT 1")).await, "T D C ZI");
    }
}
