//! Tenants in a pool on pipes.

use super::*;

fn of(tenant: u64, client: u64) -> Want {
    Want { share: Share { tenant, ..Share::default() }, ..want(client) }
}

/// Of a tenant that may have so many connections.
fn limited(tenant: u64, max_connections: usize, client: u64) -> Want {
    Want { share: Share { tenant, weight: 1, max_connections }, ..want(client) }
}

async fn soon(waiter: &mut Waiter) -> Option<Lease> {
    timeout(Duration::from_millis(100), poll_fn(|cx| waiter.poll(cx))).await.ok().map(Result::unwrap)
}

async fn all(pool: &Arc<Pool>, n: u64, tenant: u64) -> Vec<Lease> {
    let mut leases = Vec::new();
    for client in 0..n {
        leases.push(take_as(pool, of(tenant, client)).await.unwrap());
    }
    leases
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_no_more_than_its_limit() {
    let house = House::new();
    let settings = PoolSettings { query_wait_timeout: Some(Duration::from_secs(3)), ..sized(3) };
    let pool = house.pool("app", settings);
    let first = take_as(&pool, limited(1, 1, 1)).await.unwrap();
    let mut second = waiter_as(&pool, limited(1, 1, 2));
    assert!(soon(&mut second).await.is_none());
    assert_eq!(house.servers.attempts(), 1, "no connection is made for whom it may not be");
    // Others are served, also when one rests and the tenant waits for it.
    let other = take_as(&pool, of(2, 3)).await.unwrap();
    other.release();
    assert!(soon(&mut second).await.is_none());
    let other = take_as(&pool, of(2, 4)).await.unwrap();
    assert_eq!(house.servers.attempts(), 2);
    first.release();
    let lease = soon(&mut second).await.unwrap();
    let error = take_as(&pool, limited(1, 1, 5)).await.unwrap_err();
    assert_eq!(error.sqlstate, "53400");
    assert!(error.hint.unwrap().contains("1 connections of the pool shop/app"));
    lease.release();
    other.release();
    take_as(&pool, limited(1, 1, 6)).await.unwrap().release();
}

#[tokio::test(start_paused = true)]
async fn a_share_is_free_however_the_lease_ends() {
    for way in 0..7 {
        let house = House::new();
        let pool = house.pool("app", sized(2));
        let taken = limited(1, 1, 1);
        let mut lease = take_as(&pool, taken).await.unwrap();
        let mut next = waiter_as(&pool, limited(1, 1, 2));
        match way {
            0 => lease.release(),
            1 => drop(lease),
            2 => {
                lease.set_broken();
                lease.release();
            }
            3 => lease.recover(false),
            4 => {
                use_it(&house, 0, &mut lease, b"Q\0\0\0\x06x\0", b"").await;
                lease.recover(false); // it never comes to rest
                assert!(soon(&mut next).await.is_none(), "until then it counts for the tenant");
                sleep(Duration::from_secs(2)).await;
            }
            5 => {
                lease.recover(true);
                assert!(soon(&mut next).await.is_none(), "it is being cleaned");
                house.servers.say(0, b"C\0\0\0\x10DISCARD ALL\0Z\0\0\0\x05I").await;
            }
            _ => {
                let handle = Arc::clone(&lease.handle);
                let cancel = handle.begin_cancel();
                lease.release();
                assert!(soon(&mut next).await.is_none(), "a cancel request may still hit it");
                drop(cancel);
            }
        }
        let lease = soon(&mut next).await;
        assert!(lease.is_some(), "way {way}");
        assert_eq!(pool.inner.lock().queue.in_use(1), 1, "way {way}");
        drop(lease);
        moment().await;
        assert_eq!(pool.inner.lock().queue.in_use(1), 0, "way {way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_goes_away_frees_its_share() {
    let house = House::new();
    let pool = house.pool("app", sized(3));
    let first = take_as(&pool, limited(1, 1, 1)).await.unwrap();
    let second = waiter_as(&pool, limited(1, 1, 2));
    let third = waiter_as(&pool, limited(1, 1, 3));
    let mut fourth = waiter_as(&pool, limited(1, 1, 4));
    drop(third); // while it waits
    first.release(); // it is on its way to the second
    assert_eq!(pool.inner.lock().queue.in_use(1), 1);
    assert!(soon(&mut fourth).await.is_none());
    drop(second); // who never took it
    soon(&mut fourth).await.unwrap().release();
    let inner = pool.inner.lock();
    assert_eq!((inner.queue.in_use(1), inner.queue.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_to_nobody_comes_back() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let lease = take(&pool, 1).await.unwrap();
    let waiter = waiter_as(&pool, limited(1, 1, 2));
    // Its turn came, and it left before the connection was there.
    let cell = {
        let mut inner = pool.inner.lock();
        inner.queue.give(0, pool.time());
        pool.pop(&mut inner).unwrap()
    };
    drop(waiter);
    let (near, _far) = tokio::io::duplex(64);
    pool.inner.lock().slots.opened();
    pool.hand_over(&cell, Backend::over_pipe(near, BackendId(9), 10));
    assert_eq!(pool.inner.lock().queue.in_use(1), 0);
    assert_eq!(take(&pool, 3).await.unwrap().id(), BackendId(9), "it rests");
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn tenants_take_turns() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let first = take_as(&pool, of(1, 0)).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for tenant in [1, 1, 1, 1, 2, 2, 3] {
        let (pool, order) = (Arc::clone(&pool), Arc::clone(&order));
        let share = Share { tenant, weight: if tenant == 2 { 2 } else { 1 }, ..Share::default() };
        tasks.push(tokio::spawn(async move {
            let lease = take_as(&pool, Want { share, ..want(1) }).await.unwrap();
            order.lock().push(tenant);
            moment().await;
            lease.release();
        }));
        tokio::task::yield_now().await;
    }
    first.release();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [1, 2, 2, 3, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_last_places_are_for_those_who_have_less() {
    let house = House::new();
    let pool = house.pool("app", sized(10));
    take_as(&pool, of(2, 1)).await.unwrap().release();
    // The other was here within the last second: one place is kept for it.
    let mut leases = all(&pool, 9, 1).await;
    let mut waiting = waiter_as(&pool, of(1, 10));
    assert!(soon(&mut waiting).await.is_none());
    let quick = take_as(&pool, of(2, 2)).await.unwrap();
    let mut eleventh = waiter_as(&pool, of(2, 3));
    leases.pop().unwrap().release();
    assert!(soon(&mut waiting).await.is_none(), "it is the other's turn: it has less");
    soon(&mut eleventh).await.unwrap().release();
    quick.release();
    // Both places of the other are free: one of them is beyond the headroom.
    leases.push(soon(&mut waiting).await.unwrap());
    let mut waiting = waiter_as(&pool, of(1, 11));
    assert!(soon(&mut waiting).await.is_none());
    // A second without the other: alone it may have all. Nothing comes back, time alone does it.
    let lease = timeout(Duration::from_millis(1300), poll_fn(|cx| waiting.poll(cx))).await;
    leases.push(lease.unwrap().unwrap());
    assert_eq!(leases.len(), 10);
    assert_eq!(house.servers.attempts(), 10);
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_made_that_nobody_may_have() {
    let house = House::new();
    let pool = house.pool("app", sized(10));
    let other = take_as(&pool, of(2, 1)).await.unwrap();
    let leases = all(&pool, 8, 1).await;
    let mut waiting = waiter_as(&pool, of(1, 10));
    assert!(soon(&mut waiting).await.is_none());
    assert_eq!(house.servers.attempts(), 9);
    // For the other it is made.
    let more = take_as(&pool, of(2, 2)).await.unwrap();
    assert_eq!(house.servers.attempts(), 10);
    drop((other, more, leases));
    assert!(soon(&mut waiting).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_not_lent_to_one_who_waits() {
    let house = House::new();
    let pool = house.pool("app", sized(10));
    let other = take_as(&pool, of(2, 1)).await.unwrap();
    let mut leases = all(&pool, 8, 1).await;
    let mut waiting = waiter_as(&pool, of(1, 9));
    take_as(&pool, of(2, 2)).await.unwrap().release();
    assert!(soon(&mut waiting).await.is_none(), "one rests, but for the other");
    // Its server closes it; then another is lost, and it is the turn of the one that waits.
    house.servers.ends.lock()[9].take();
    drop(leases.pop());
    let lease = soon(&mut waiting).await.unwrap();
    assert_eq!(house.servers.attempts(), 11, "a new one for it");
    drop((leases, other, lease));
    moment().await;
    let inner = pool.inner.lock();
    assert_eq!((inner.queue.in_use(1), inner.queue.in_use(2), inner.slots.taken()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_the_same_tenant_is_preferred() {
    let house = House::new();
    let pool = house.pool("app", sized(3));
    let (mut a, mut b) = (take_as(&pool, of(1, 1)).await.unwrap(), take_as(&pool, of(2, 2)).await.unwrap());
    assert_eq!(a.last_tenant(), None);
    a.used_by_borrower();
    b.used_by_borrower();
    assert_eq!(a.last_tenant(), Some(1));
    let (one, two) = (a.id(), b.id());
    a.release();
    b.release();
    let a = take_as(&pool, of(1, 1)).await.unwrap();
    assert_eq!((a.id(), a.last_tenant()), (one, Some(1)));
    let b = take_as(&pool, of(3, 1)).await.unwrap();
    assert_eq!((b.id(), b.last_tenant()), (two, Some(2)), "rather than a new one");
    b.release();
    let mut b = take_as(&pool, of(3, 1)).await.unwrap();
    assert_eq!(
        (b.id(), b.last_tenant()),
        (two, Some(2)),
        "whoever only held it left its traces as they were"
    );
    b.used_by_borrower();
    b.release();
    // A strict one gets a new connection, and another tenant's only when no new one may be made.
    let strict = |client| Want { strict: true, ..of(4, client) };
    let new = take_as(&pool, strict(1)).await.unwrap();
    assert_eq!((new.last_tenant(), house.servers.attempts()), (None, 3));
    let last = take_as(&pool, strict(2)).await.unwrap();
    assert_eq!((last.id(), last.last_tenant()), (two, Some(3)), "whoever gets it cleans it");
    // Cleaned without a client it is nobody's.
    last.recover(true);
    house.servers.say(1, b"C\0\0\0\x10DISCARD ALL\0Z\0\0\0\x05I").await;
    moment().await;
    assert_eq!(take_as(&pool, strict(3)).await.unwrap().last_tenant(), None);
    drop((a, new));
}

#[tokio::test(start_paused = true)]
async fn what_must_be_cleaned_is_lent_when_no_new_one_can_be_made() {
    // Because the database's connections are all in use, or because the server is down.
    for down_now in [false, true] {
        let house = House::new();
        let max = (!down_now).then_some(1);
        let pool = house.pool("app", PoolSettings { max_db_connections: max, ..sized(5) });
        let mut lease = take_as(&pool, of(1, 1)).await.unwrap();
        lease.used_by_borrower();
        let id = lease.id();
        lease.release();
        if down_now {
            house.servers.refuse(Some(down));
        }
        let mut strict = waiter_as(&pool, Want { strict: true, ..of(2, 2) });
        let lease = soon(&mut strict).await.unwrap();
        assert_eq!((lease.id(), lease.last_tenant()), (id, Some(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn traces_belong_to_a_client_in_one_tenant() {
    let house = House::new();
    let pool = house.pool("app", sized(3));
    let mut leases = all(&pool, 3, 1).await;
    let ids: Vec<_> = leases.iter().map(|lease| lease.id()).collect();
    leases[0].owner = Some((ClientId(1), 1));
    leases[1].owner = Some((ClientId(1), 2));
    leases.into_iter().for_each(Lease::release);
    for (tenant, id) in [(2, ids[1]), (1, ids[0]), (3, ids[2])] {
        let lease = take_as(&pool, Want { has_traces: true, ..of(tenant, 1) }).await.unwrap();
        assert_eq!(lease.id(), id, "tenant {tenant}");
        lease.release();
    }
    // When it goes, all of them are cleaned.
    pool.forget_client(ClientId(1));
    moment().await;
    for n in [0, 1] {
        house.servers.say(n, b"C\0\0\0\x10DISCARD ALL\0Z\0\0\0\x05I").await;
    }
    moment().await;
    let leases = all(&pool, 3, 5).await;
    assert!(leases.iter().all(|lease| lease.owner.is_none()));
    assert_eq!(house.servers.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn many_tenants_with_limits_leave_nothing_behind() {
    let house = House::new();
    let pool = house.pool("app", sized(8));
    let using: Arc<Mutex<[usize; 5]>> = Arc::default();
    let limit = |tenant: u64| [8, 1, 3, 2, 8][tenant as usize];
    let mut tasks = Vec::new();
    for client in 0..500_u64 {
        let (pool, using, tenant) = (Arc::clone(&pool), Arc::clone(&using), client % 5);
        let strict = client % 3 == 0;
        let want = Want { strict, ..limited(tenant, limit(tenant), client) };
        tasks.push(tokio::spawn(async move {
            sleep(Duration::from_millis(client * 7 % 113)).await;
            if client % 7 == 6 {
                let _ = timeout(Duration::from_millis(client % 31), take_as(&pool, want)).await;
                return; // impatient; what it got, if it got it, was dropped: closed
            }
            let lease = take_as(&pool, want).await.unwrap();
            using.lock()[tenant as usize] += 1;
            assert!(using.lock()[tenant as usize] <= limit(tenant));
            assert!(using.lock().iter().sum::<usize>() <= 8);
            sleep(Duration::from_millis(client % 11)).await;
            using.lock()[tenant as usize] -= 1;
            match client % 13 {
                0 => drop(lease),
                1 => lease.recover(false),
                _ => lease.release(),
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    moment().await;
    let inner = pool.inner.lock();
    assert!((0..5).all(|tenant| inner.queue.in_use(tenant) == 0) && inner.queue.is_empty());
    assert_eq!(inner.slots.open(), inner.idle.len());
    assert!(inner.slots.taken() <= 8);
}
