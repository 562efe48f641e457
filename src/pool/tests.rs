//! Queue and slots by tables and at random; the pool on pipes, with the clock stopped. Tenants: [`fair`] and
//! [`shares`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout};

use super::queue::Queue;
use super::slots::{Limits, Slots};
use super::*;
use crate::backend::{Backend, ConnectError, Connecting, Connector};
use crate::config::PoolSettings;
use crate::ids::{BackendId, ClientId, PoolKey};
use crate::observe::Metrics;
use crate::session::{ClientSession, Mode};
use crate::wire::PgError;

mod fair;
mod info;
mod shares;

// --- queue and slots ------------------------------------------------------------------------------------

/// More than enough.
const PLACES: Places = Places { size: 1000, headroom: 0 };
const EPOCH: Duration = Duration::ZERO;

#[test]
fn the_queue_is_first_come_first_served() {
    let mut queue = Queue::default();
    let tickets: Vec<_> = "abcde".chars().map(|c| queue.push(Share::default(), c)).collect();
    assert_eq!(queue.oldest(), Some(&'a'));
    assert_eq!(queue.pop(PLACES), Some('a'));
    assert_eq!(queue.remove(tickets[0], EPOCH), None, "it was its turn already");
    assert_eq!(queue.remove(tickets[2], EPOCH), Some('c'));
    assert_eq!(queue.remove(tickets[2], EPOCH), None);
    assert_eq!(queue.extract(EPOCH, |c| *c == 'd'), ['d']);
    queue.push(Share::default(), 'f');
    let rest: Vec<_> = std::iter::from_fn(|| queue.pop(PLACES)).collect();
    assert_eq!(rest, ['b', 'e', 'f']);
    assert!(queue.is_empty());
}

proptest! {
    #[test]
    fn the_queue_keeps_its_order_whoever_leaves(ops in prop::collection::vec((0..5_u8, any::<u16>()), 0..200)) {
        // One tenant, whose places were all taken long ago: no headroom is kept from it.
        let places = Places { size: 4, headroom: 2 };
        let mut queue = Queue::default();
        let mut model = VecDeque::new();
        let mut tickets = Vec::new();
        for (op, n) in ops {
            match op {
                0 | 1 => {
                    tickets.push(queue.push(Share::default(), n));
                    model.push_back((tickets.len() - 1, n));
                }
                2 => prop_assert_eq!(queue.pop(places), model.pop_front().map(|(_, n)| n)),
                3 => queue.give(0, EPOCH),
                _ if tickets.is_empty() => {}
                _ => {
                    let who = usize::from(n) % tickets.len();
                    let at = model.iter().position(|(ticket, _)| *ticket == who);
                    let expected = at.and_then(|at| model.remove(at)).map(|(_, n)| n);
                    prop_assert_eq!(queue.remove(tickets[who], EPOCH), expected);
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.oldest(), model.front().map(|(_, n)| n));
            prop_assert_eq!(queue.peek(places), model.front().map(|(_, n)| n));
            prop_assert_eq!(queue.may_take(Share::default(), places), model.is_empty());
        }
    }

    #[test]
    fn slots_keep_their_limits_and_leave_nobody_waiting(
        (size, reserve, connecting) in (1..6_usize, 0..3_usize, 1..4_usize),
        ops in prop::collection::vec((0..5_u8, any::<bool>()), 0..200),
    ) {
        let limits = Limits { size, reserve, connecting };
        let mut slots = Slots::default();
        let mut waiting = 0_usize;
        for (op, use_reserve) in ops {
            match op {
                0 => waiting += 1,
                1 if slots.connecting() > 0 => {
                    slots.opened();
                    waiting = waiting.saturating_sub(1);
                }
                2 if slots.connecting() > 0 => slots.failed(),
                3 if slots.open() > 0 => slots.closed(),
                _ => waiting = waiting.saturating_sub(1),
            }
            while slots.may_open(waiting, limits, use_reserve) {
                slots.begin();
            }
            let most = size + if use_reserve { reserve } else { 0 };
            prop_assert!(slots.taken() <= size + reserve);
            prop_assert!(slots.connecting() <= connecting);
            let full = slots.taken() >= most || slots.connecting() >= connecting;
            prop_assert!(full || slots.connecting() >= waiting, "somebody waits for nothing");
        }
    }
}

// --- the pool on pipes ----------------------------------------------------------------------------------

type Refuse = fn() -> ConnectError;

/// Servers that take every connection, or none.
#[derive(Default)]
struct Servers {
    refuse: Mutex<Option<Refuse>>,
    attempts: Mutex<Vec<Instant>>,
    now: AtomicUsize,
    most_at_once: AtomicUsize,
    /// The servers' ends of the pipes.
    ends: Mutex<Vec<Option<DuplexStream>>>,
}

/// Connecting takes so long.
const CONNECT: Duration = Duration::from_millis(5);

impl Servers {
    fn refuse(&self, refuse: Option<Refuse>) {
        *self.refuse.lock() = refuse;
    }

    fn attempts(&self) -> usize {
        self.attempts.lock().len()
    }

    /// True when the pool has closed this connection, with a goodbye or without.
    async fn is_closed(&self, n: usize) -> bool {
        let Some(mut end) = self.ends.lock()[n].take() else { return true };
        let mut bytes = Vec::new();
        let closed = timeout(Duration::from_millis(1), end.read_to_end(&mut bytes)).await.is_ok();
        if !closed {
            self.ends.lock()[n] = Some(end);
        }
        closed
    }

    async fn say(&self, n: usize, bytes: &[u8]) {
        let mut end = self.ends.lock()[n].take().unwrap();
        end.write_all(bytes).await.unwrap();
        self.ends.lock()[n] = Some(end);
    }
}

/// The servers as a pool sees them.
struct Reach(Arc<Servers>);

impl Connector for Reach {
    fn connect(&self, id: BackendId, _worker: usize) -> Connecting {
        let servers = Arc::clone(&self.0);
        Box::pin(async move {
            servers.attempts.lock().push(Instant::now());
            let now = servers.now.fetch_add(1, Ordering::SeqCst) + 1;
            servers.most_at_once.fetch_max(now, Ordering::SeqCst);
            sleep(CONNECT).await;
            servers.now.fetch_sub(1, Ordering::SeqCst);
            if let Some(refuse) = *servers.refuse.lock() {
                return Err(refuse());
            }
            let (near, far) = tokio::io::duplex(4096);
            servers.ends.lock().push(Some(far));
            Ok(Backend::over_pipe(near, id, 10))
        })
    }
}

struct House {
    registry: Registry,
    metrics: Metrics,
    servers: Arc<Servers>,
}

impl House {
    fn new() -> Self {
        let metrics = Metrics::new().unwrap();
        Self { registry: Registry::default(), metrics, servers: Arc::default() }
    }

    /// A pool, with what the workers do for it now and then.
    fn pool(&self, user: &str, settings: PoolSettings) -> Arc<Pool> {
        let key = PoolKey { database: "shop".into(), user: user.into() };
        let metrics = self.metrics.pool(&key);
        let connector = Arc::new(Reach(Arc::clone(&self.servers)));
        let pool = self.registry.pool(&key, || PoolConfig { settings, connector, metrics, caching: None });
        let weak = Arc::downgrade(&pool);
        tokio::spawn(async move {
            for n in 1_u32.. {
                sleep(Duration::from_millis(100)).await;
                let Some(pool) = weak.upgrade() else { return };
                pool.tick(0);
                if n % 10 == 0 {
                    pool.housekeep(0);
                }
            }
        });
        pool
    }
}

fn sized(size: usize) -> PoolSettings {
    PoolSettings { default_pool_size: size, ..PoolSettings::default() }
}

fn want(client: u64) -> Want {
    Want {
        client: ClientId(client),
        worker: 0,
        has_traces: false,
        last: false,
        settings: 0,
        share: Share::default(),
        strict: false,
    }
}

async fn take(pool: &Arc<Pool>, client: u64) -> Result<Lease, PgError> {
    take_as(pool, want(client)).await
}

async fn take_as(pool: &Arc<Pool>, want: Want) -> Result<Lease, PgError> {
    match pool.acquire(want) {
        Acquire::Ready(lease) => Ok(lease),
        Acquire::Wait(mut waiter) => poll_fn(|cx| waiter.poll(cx)).await,
        Acquire::Refused(error) => Err(error),
    }
}

fn waiter(pool: &Arc<Pool>, client: u64) -> Waiter {
    waiter_as(pool, want(client))
}

fn waiter_as(pool: &Arc<Pool>, want: Want) -> Waiter {
    match pool.acquire(want) {
        Acquire::Wait(waiter) => waiter,
        other => panic!("it should wait: {other:?}"),
    }
}

async fn moment() {
    sleep(Duration::from_millis(20)).await;
}

fn down() -> ConnectError {
    ConnectError::Io(std::io::ErrorKind::ConnectionRefused.into())
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_order() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let first = take(&pool, 0).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for client in 1..=5 {
        let (pool, order) = (Arc::clone(&pool), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let lease = take(&pool, client).await.unwrap();
            order.lock().push(client);
            moment().await;
            lease.release();
        }));
        tokio::task::yield_now().await;
    }
    moment().await;
    assert!(order.lock().is_empty());
    first.release();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [1, 2, 3, 4, 5]);
    assert_eq!(house.servers.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_those_who_wait() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let first = take(&pool, 0).await.unwrap();
    let early = waiter(&pool, 1);
    first.release(); // it is on its way to the one who waits
    let mut late = waiter(&pool, 2);
    assert!(timeout(Duration::from_secs(1), poll_fn(|cx| late.poll(cx))).await.is_err());
    drop(early); // who never took it: it goes on
    poll_fn(|cx| late.poll(cx)).await.unwrap().release();
    assert_eq!(house.servers.attempts(), 1, "no permit was lost and none was made up");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_loses_no_permit() {
    let house = House::new();
    let pool = house.pool("app", sized(2));
    for round in 0..50 {
        // Before a connection is made, while it is made, and when it is there.
        let dropped = pool.acquire(want(round));
        if round % 3 > 0 {
            sleep(CONNECT / 2 * u32::try_from(round % 3).unwrap()).await;
        }
        drop(dropped);
    }
    moment().await;
    let (a, b) = (take(&pool, 1).await.unwrap(), take(&pool, 2).await.unwrap());
    assert!(timeout(Duration::from_secs(1), take(&pool, 3)).await.is_err(), "two, and no more");
    a.release();
    b.release();
    take(&pool, 4).await.unwrap().release();
    pool.publish();
    assert_eq!((pool.metrics().waiting.get(), pool.metrics().active.get()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn many_clients_share_few_connections() {
    let house = House::new();
    let pool = house.pool("app", sized(3));
    let using = Arc::new(AtomicUsize::new(0));
    let served = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for client in 0..200_u64 {
        let (pool, using, served) = (Arc::clone(&pool), Arc::clone(&using), Arc::clone(&served));
        tasks.push(tokio::spawn(async move {
            sleep(Duration::from_millis(client * 7 % 113)).await;
            if client % 5 == 4 {
                let _ = timeout(Duration::from_millis(client % 31), take(&pool, client)).await;
                return; // impatient; what it got, if it got it, was dropped: closed
            }
            let lease = take(&pool, client).await.unwrap();
            assert!(using.fetch_add(1, Ordering::SeqCst) < 3);
            sleep(Duration::from_millis(client % 11)).await;
            using.fetch_sub(1, Ordering::SeqCst);
            served.fetch_add(1, Ordering::SeqCst);
            if client % 13 == 0 { drop(lease) } else { lease.release() }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(served.load(Ordering::SeqCst), 160);
    moment().await;
    pool.publish();
    let metrics = pool.metrics();
    assert_eq!((metrics.waiting.get(), metrics.active.get()), (0, 0));
    assert!(metrics.idle.get() <= 3);
}

#[tokio::test(start_paused = true)]
async fn query_wait_timeout_names_the_pool() {
    let house = House::new();
    let settings = PoolSettings { query_wait_timeout: Some(Duration::from_secs(3)), ..sized(1) };
    let pool = house.pool("app", settings);
    let lease = take(&pool, 0).await.unwrap();
    let since = Instant::now();
    let error = take(&pool, 1).await.unwrap_err();
    assert_eq!(error.sqlstate, "53300");
    assert!(error.hint.unwrap().contains("shop/app"));
    let waited = since.elapsed();
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_millis(3200), "{waited:?}");
    lease.release();
    take(&pool, 2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_said_to_be_down_after_a_while() {
    let house = House::new();
    let settings = PoolSettings { server_login_retry: Some(Duration::from_secs(5)), ..sized(10) };
    let pool = house.pool("app", settings);
    house.servers.refuse(Some(down));
    let since = Instant::now();
    let error = take(&pool, 1).await.unwrap_err();
    assert_eq!(error.sqlstate, "57P03");
    let waited = since.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6), "{waited:?}");
    assert!(!pool.is_reachable());
    // From now on it is said at once, unless it is time for another attempt.
    let since = Instant::now();
    assert_eq!(take(&pool, 2).await.unwrap_err().sqlstate, "57P03");
    assert!(since.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn when_the_server_returns_so_do_clients_and_without_a_storm() {
    let house = House::new();
    let settings = PoolSettings { server_login_retry: Some(Duration::from_secs(60)), ..sized(10) };
    let pool = house.pool("app", settings);
    house.servers.refuse(Some(down));
    let mut tasks = Vec::new();
    for client in 0..40 {
        let pool = Arc::clone(&pool);
        tasks.push(tokio::spawn(async move {
            let lease = take(&pool, client).await.unwrap();
            moment().await;
            lease.release();
            Instant::now()
        }));
    }
    sleep(Duration::from_millis(100)).await;
    house.servers.most_at_once.store(0, Ordering::SeqCst); // the first came before anybody knew
    sleep(Duration::from_secs(10)).await;
    assert_eq!(house.servers.most_at_once.load(Ordering::SeqCst), 1, "one attempt at a time");
    let attempts = house.servers.attempts();
    assert!((15..60).contains(&attempts), "backoff, but not for too long: {attempts}");
    house.servers.refuse(None);
    let back = Instant::now();
    for task in tasks {
        let served = task.await.unwrap();
        assert!(served - back < Duration::from_secs(1), "{:?}", served - back);
    }
    assert!(house.servers.attempts() <= attempts + 10);
    assert!(pool.is_reachable());
}

#[tokio::test(start_paused = true)]
async fn what_no_patience_helps_is_said_at_once() {
    let house = House::new();
    let pool = house.pool("app", sized(10));
    let cases: [(Refuse, &str); 4] = [
        (|| ConnectError::Server("3D000".into(), "database \"x\" does not exist".into()), "3D000"),
        (|| ConnectError::Server("28P01".into(), "password authentication failed".into()), "28P01"),
        (|| ConnectError::NoPassword, "28000"),
        (|| ConnectError::NoTls, "57P03"),
    ];
    for (refuse, code) in cases {
        house.servers.refuse(Some(refuse));
        sleep(Duration::from_secs(2)).await; // time for another attempt
        let since = Instant::now();
        assert_eq!(take(&pool, 1).await.unwrap_err().sqlstate, code);
        assert!(since.elapsed() < Duration::from_millis(100));
    }
    house.servers.refuse(None);
    sleep(Duration::from_secs(1)).await;
    take(&pool, 1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_for_those_who_waited_long() {
    let house = House::new();
    let settings =
        PoolSettings { reserve_pool_size: 2, reserve_pool_timeout: Some(Duration::from_secs(3)), ..sized(1) };
    let pool = house.pool("app", settings);
    let _first = take(&pool, 0).await.unwrap();
    let since = Instant::now();
    let _second = take(&pool, 1).await.unwrap();
    let waited = since.elapsed();
    assert!(waited >= Duration::from_secs(3) && waited < Duration::from_millis(3200), "{waited:?}");
    let _third = take(&pool, 2).await.unwrap();
    assert!(timeout(Duration::from_secs(60), take(&pool, 3)).await.is_err(), "the reserve has two");
    assert_eq!(house.servers.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn pools_of_one_database_share_its_limit() {
    let house = House::new();
    let settings = PoolSettings { max_db_connections: Some(2), ..sized(5) };
    let (one, two) = (house.pool("one", settings.clone()), house.pool("two", settings));
    let (a, b) = (take(&one, 1).await.unwrap(), take(&one, 2).await.unwrap());
    let mut other = waiter(&two, 3);
    assert!(timeout(Duration::from_secs(1), poll_fn(|cx| other.poll(cx))).await.is_err());
    // A connection that rests in the one pool makes room for the other.
    a.release();
    timeout(Duration::from_secs(1), poll_fn(|cx| other.poll(cx))).await.unwrap().unwrap().release();
    assert!(house.servers.is_closed(0).await);
    assert_eq!(house.servers.attempts(), 3);
    // And the other way round, at once.
    let back = timeout(Duration::from_secs(1), take(&one, 4)).await.unwrap().unwrap();
    assert!(timeout(Duration::from_secs(1), take(&two, 5)).await.is_err());
    drop((back, b));
    timeout(Duration::from_secs(1), take(&two, 6)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn resting_connections_are_kept_and_closed_as_configured() {
    let house = House::new();
    let settings = PoolSettings {
        min_pool_size: 2,
        server_idle_timeout: Some(Duration::from_secs(60)),
        server_lifetime: Some(Duration::from_secs(300)),
        ..sized(5)
    };
    let pool = house.pool("app", settings);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(house.servers.attempts(), 2, "min_pool_size, although nobody asked");
    let leases =
        [take(&pool, 1).await.unwrap(), take(&pool, 2).await.unwrap(), take(&pool, 3).await.unwrap()];
    assert_eq!(house.servers.attempts(), 3);
    leases.into_iter().for_each(Lease::release);
    sleep(Duration::from_secs(59)).await;
    pool.publish();
    assert_eq!(pool.metrics().idle.get(), 3);
    sleep(Duration::from_secs(3)).await;
    pool.publish();
    assert_eq!(pool.metrics().idle.get(), 2, "server_idle_timeout, down to min_pool_size");
    sleep(Duration::from_secs(300)).await;
    assert!(house.servers.is_closed(0).await && house.servers.is_closed(1).await, "server_lifetime");
    pool.publish();
    assert_eq!(pool.metrics().idle.get(), 2, "and others in their place");
    // One that is lent is closed when it comes back.
    let lease = take(&pool, 4).await.unwrap();
    sleep(Duration::from_secs(301)).await;
    let attempts = house.servers.attempts();
    lease.release();
    moment().await;
    pool.publish();
    assert_eq!(pool.metrics().idle.get() + pool.metrics().active.get(), 1, "of {attempts}");
}

/// What a client did on a connection before it came back.
async fn use_it(house: &House, n: usize, lease: &mut Lease, frames: &[u8], answer: &[u8]) {
    let mut front = ClientSession::new(Mode::Exclusive, Arc::default());
    let backend = &mut **lease;
    let mut replies = Vec::new();
    let interner = Interner::default();
    front
        .with_server(&mut backend.session, frames, frames.len(), &mut backend.out, &mut replies, &interner)
        .unwrap();
    backend.out.extend_from_slice(frames);
    poll_fn(|cx| backend.poll_flush(cx)).await.unwrap();
    house.servers.say(n, answer).await;
    let mut buf = [0; 512];
    while !answer.is_empty() {
        let n = poll_fn(|cx| backend.poll_read(cx, &mut buf)).await.unwrap();
        backend.feed(&mut front, &buf[..n], &mut replies).unwrap();
        if n == answer.len() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_broken_or_dirty_is_never_lent_again() {
    let query = b"Q\0\0\0\x06x\0";
    let parse = b"P\0\0\0\x09\0x\0\0\0";
    let cases: [(&str, &[u8], &[u8], bool); 6] = [
        ("idle", query, b"C\0\0\0\x06x\0Z\0\0\0\x05I", true),
        ("in a transaction", query, b"C\0\0\0\x06x\0Z\0\0\0\x05T", false),
        ("in a failed one", query, b"C\0\0\0\x06x\0Z\0\0\0\x05E", false),
        ("in the middle of an answer", query, b"C\0\0\0\x06x\0", false),
        ("in the middle of a message", query, b"C\0\0\0\x06x\0Z\0\0\0\x05I\x4e\0\0", false),
        ("in an open batch", parse, b"1\0\0\0\x04", false),
    ];
    for (what, frames, answer, good) in cases {
        let house = House::new();
        let pool = house.pool("app", sized(1));
        let mut lease = take(&pool, 1).await.unwrap();
        let id = lease.id();
        use_it(&house, 0, &mut lease, frames, answer).await;
        lease.release();
        let next = take(&pool, 2).await.unwrap();
        assert_eq!(next.id() == id, good, "{what}");
        assert_eq!(house.servers.is_closed(0).await, !good, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_die_in_many_ways() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let mut n = 0;
    for way in 0..5 {
        let mut lease = take(&pool, 1).await.unwrap();
        match way {
            0 => drop(lease), // a session that was dropped in the middle
            1 => {
                lease.set_broken();
                lease.release();
            }
            2 => {
                lease.release();
                drop(house.servers.ends.lock()[n].take()); // closed while it rests
            }
            3 => {
                lease.release();
                house.servers.say(n, b"D\0\0\0\x06\0\0").await; // a row that nobody asked for
            }
            _ => {
                lease.release();
                house.servers.say(n, b"E\0\0\0\x1cSFATAL\0VFATAL\0C57P01\0M\0\0").await;
            }
        }
        n += 1;
        take(&pool, 2).await.unwrap().release();
        assert_eq!(house.servers.attempts(), n + 1, "way {way}: another one");
    }
    // What a server may say while nobody listens.
    house.servers.say(n, b"N\0\0\0\x0fSNOTICE\0M\0\0S\0\0\0\x0bTime\0x\0").await;
    take(&pool, 3).await.unwrap();
    assert_eq!(house.servers.attempts(), n + 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_on_its_way_keeps_the_connection_from_others() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let lease = take(&pool, 1).await.unwrap();
    let (id, handle) = (lease.id(), Arc::clone(&lease.handle));
    let (one, two) = (handle.begin_cancel(), handle.begin_cancel());
    lease.release();
    assert!(timeout(Duration::from_secs(1), take(&pool, 2)).await.is_err());
    drop(one);
    assert!(timeout(Duration::from_secs(1), take(&pool, 2)).await.is_err(), "the second may still hit");
    drop(two);
    let next = timeout(Duration::from_secs(1), take(&pool, 2)).await.unwrap().unwrap();
    assert_eq!(next.id(), id);
    assert_eq!(house.servers.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_its_client_is_brought_to_rest() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    // In a transaction: rolled back.
    let mut lease = take(&pool, 1).await.unwrap();
    let id = lease.id();
    use_it(&house, 0, &mut lease, b"Q\0\0\0\x06x\0", b"C\0\0\0\x06x\0Z\0\0\0\x05T").await;
    lease.recover(false);
    house.servers.say(0, b"C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I").await;
    let lease = timeout(Duration::from_secs(1), take(&pool, 2)).await.unwrap().unwrap();
    assert_eq!(lease.id(), id);
    // With traces: reset.
    lease.recover(true);
    house.servers.say(0, b"C\0\0\0\x10DISCARD ALL\0Z\0\0\0\x05I").await;
    let mut lease = timeout(Duration::from_secs(1), take(&pool, 3)).await.unwrap().unwrap();
    assert_eq!(lease.id(), id);
    // It never comes to rest: closed after a while, and its place is free.
    use_it(&house, 0, &mut lease, b"Q\0\0\0\x06x\0", b"").await;
    lease.recover(false);
    let since = Instant::now();
    let lease = take(&pool, 4).await.unwrap();
    assert_ne!(lease.id(), id);
    assert!(since.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn traces_keep_a_connection_for_their_client() {
    let house = House::new();
    let pool = house.pool("app", sized(2));
    let (mut a, b) = (take(&pool, 1).await.unwrap(), take(&pool, 2).await.unwrap());
    let id = a.id();
    a.owner = Some((ClientId(1), 0));
    a.release();
    b.release();
    // Others get a clean one first, and the client its own.
    let other = take(&pool, 3).await.unwrap();
    assert_ne!(other.id(), id);
    let own = match pool.acquire(Want { has_traces: true, ..want(1) }) {
        Acquire::Ready(lease) => lease,
        other => panic!("{other:?}"),
    };
    assert_eq!(own.id(), id);
    own.release();
    let last = take(&pool, 4).await.unwrap();
    assert_eq!((last.id(), last.owner), (id, Some((ClientId(1), 0))), "whoever gets it cleans it");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_shuts_sends_everybody_away() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let lease = take(&pool, 1).await.unwrap();
    let mut waiting = waiter(&pool, 2);
    pool.shut();
    assert_eq!(poll_fn(|cx| waiting.poll(cx)).await.unwrap_err().sqlstate, "57P01");
    assert_eq!(take(&pool, 3).await.unwrap_err().sqlstate, "57P01");
    lease.release();
    assert!(house.servers.is_closed(0).await);
}

#[test]
fn equal_texts_are_one_statement_as_long_as_somebody_has_it() {
    use crate::session::Intern;
    let interner = Interner::default();
    let a = interner.intern(b"SELECT 1\0\0\0", 0, true);
    assert!(Arc::ptr_eq(&a, &interner.intern(b"SELECT 1\0\0\0", 0, true)));
    for (body, scope, standard) in
        [(&b"SELECT 2\0\0\0"[..], 0, true), (b"SELECT 1\0\0\0", 1, true), (b"SELECT 1\0\0\0", 0, false)]
    {
        assert_ne!(interner.intern(body, scope, standard).id, a.id);
    }
    assert_ne!(interner.unnamed(b"SELECT 1\0\0\0", true).id, a.id);
    for n in 0..200_000_u32 {
        interner.intern(format!("SELECT {n}, 'x'\0\0\0").as_bytes(), 0, true);
    }
    assert!(interner.len() <= 16 * 512, "{}", interner.len());
}
