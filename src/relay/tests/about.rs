//! What others may know of clients.

use super::*;
use crate::relay::{ClientInfo, ClientState};

fn only(house: &House) -> ClientInfo {
    let list = house.shared.clients.list();
    assert_eq!(list.len(), 1);
    list[0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_known_by_what_it_does() {
    let house = House::new(sized(1));
    let mut client = house.client_with(&[("application_name", "me")]).await;
    let info = only(&house);
    assert_eq!((&*info.database, &*info.pool.user, &*info.application), ("shop", "app", "me"));
    assert_eq!((info.state, info.server, info.requested), (ClientState::Idle, None, None));
    assert_eq!((info.pid, info.tenant, info.replication, info.prepared), (client.key.0, None, None, 0));
    client.ask(&[parse("a", "SELECT 1"), query("BEGIN")].concat()).await;
    sleep(Duration::from_secs(3)).await;
    let info = only(&house);
    assert_eq!((info.state, info.server.is_some()), (ClientState::Active, true));
    assert_eq!((info.requested.unwrap().as_secs(), info.wait), (3, Duration::ZERO));
    let server = house.pool.servers()[0].clone();
    assert_eq!((Some(info.id), info.server.unwrap().0), (server.client, server.id));

    let mut other = house.client().await;
    other.send(&query("SELECT 1")).await;
    sleep(Duration::from_secs(2)).await;
    let list = house.shared.clients.list();
    assert_eq!((list[0].id, list[1].state), (info.id, ClientState::Waiting), "the older one first");
    assert_eq!((list[1].wait.as_secs(), house.pool.info().oldest_wait.as_secs()), (2, 2));

    client.ask(&query("COMMIT")).await;
    other.until_ready().await;
    let list = house.shared.clients.list();
    assert_eq!((list[0].state, list[0].prepared), (ClientState::Idle, 1));
    assert_eq!((list[1].state, list[1].wait), (ClientState::Idle, Duration::ZERO));
    assert_eq!(list[1].requested.unwrap().as_secs(), 2, "its latest request was two seconds ago");
    drop((client, other));
    moment().await;
    assert!(house.shared.clients.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_may_change_its_name() {
    let house = House::new(sized(1));
    let mut client = house.client_with(&[("application_name", "me")]).await;
    assert_eq!(client.ask(&query("SET application_name TO else")).await, "C S ZI");
    assert_eq!(&*only(&house).application, "else");
    assert_eq!(client.ask(&query("SET application_name TO me")).await, "C S ZI");
    assert_eq!(&*only(&house).application, "me");
}
