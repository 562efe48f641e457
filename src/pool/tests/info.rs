//! What a pool tells of itself.

use super::*;
use crate::pool::{PoolInfo, ServerState};

fn counts(info: &PoolInfo) -> (usize, usize, usize, usize, usize) {
    (info.active, info.idle, info.cleaning, info.connecting, info.waiting)
}

#[tokio::test(start_paused = true)]
async fn a_pool_tells_what_its_connections_do() {
    let house = House::new();
    let pool = house.pool("app", PoolSettings { reserve_pool_size: 1, ..sized(2) });
    assert_eq!((counts(&pool.info()), pool.servers().len()), ((0, 0, 0, 0, 0), 0));
    let early = waiter(&pool, 7);
    assert_eq!(counts(&pool.info()), (0, 0, 0, 1, 1));
    drop(early);
    moment().await;
    assert_eq!(counts(&pool.info()), (0, 1, 0, 0, 0));
    let (first, second) = (take(&pool, 1).await.unwrap(), take(&pool, 2).await.unwrap());
    let waiting = waiter(&pool, 3);
    sleep(Duration::from_secs(3)).await;
    let late = waiter(&pool, 4);
    sleep(Duration::from_secs(1)).await;
    let info = pool.info();
    assert_eq!(counts(&info), (2, 0, 0, 0, 2));
    assert_eq!((info.oldest_wait.as_secs(), info.open(), info.tenants), (4, 2, 1));
    assert_eq!((info.size, info.reserve, info.uses_reserve, info.failure), (2, 1, false, None));
    let servers = pool.servers();
    let clients: Vec<_> = servers.iter().map(|server| (server.state, server.client, server.rested)).collect();
    assert_eq!(
        clients,
        [(ServerState::Active, Some(ClientId(1)), None), (ServerState::Active, Some(ClientId(2)), None)]
    );
    assert!(servers[0].id < servers[1].id && servers[0].pool == *pool.key());
    drop((waiting, late));
    first.release();
    sleep(Duration::from_secs(5)).await;
    let resting = &pool.servers()[0];
    assert_eq!((resting.state, resting.client), (ServerState::Idle, None));
    assert_eq!(resting.rested.unwrap().as_secs(), 5);
    let mut second = second;
    second.set_broken();
    drop(second);
    assert_eq!((counts(&pool.info()), pool.servers().len()), ((0, 1, 0, 0, 0), 1));
    assert_eq!(pool.info().oldest_wait, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_is_at_his_limit_waits_for_longest_too() {
    let house = House::new();
    let pool = house.pool("app", sized(4));
    let limited = Share { tenant: 1, weight: 1, max_connections: 1 };
    let lease = take_as(&pool, Want { share: limited, ..want(1) }).await.unwrap();
    let at_limit = waiter_as(&pool, Want { share: limited, ..want(2) });
    sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.info().oldest_wait.as_secs(), pool.info().waiting), (2, 1));
    drop((lease, at_limit));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_cleaned_is_neither_active_nor_idle() {
    let house = House::new();
    let pool = house.pool("app", sized(1));
    let lease = take(&pool, 1).await.unwrap();
    let handle = Arc::clone(&lease.handle);
    lease.recover(true); // the server answers nothing
    moment().await;
    assert_eq!((counts(&pool.info()), pool.servers()[0].state), ((0, 0, 1, 0, 0), ServerState::Cleaning));
    let cancelling = handle.begin_cancel();
    let info = pool.info();
    assert_eq!((info.cancelling, info.cancels, info.open()), (1, 1, 1));
    assert_eq!(pool.servers()[0].state, ServerState::Cancelling);
    drop(cancelling);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(pool.servers().len(), 0, "it was closed: it did not come to rest");
}

#[tokio::test(start_paused = true)]
async fn a_pool_tells_why_there_is_no_connection() {
    let house = House::new();
    house.servers.refuse(Some(down));
    let pool = house.pool("app", sized(1));
    drop(take(&pool, 1).await.unwrap_err());
    let failure = pool.info().failure.unwrap();
    assert!(failure.contains("not available"), "{failure}");
}
