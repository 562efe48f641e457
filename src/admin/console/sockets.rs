//! Clients and server connections, as PgBouncer shows sockets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use super::Operations;
use super::table::{Row, Value};
use super::view::SOCKET;
use crate::frontend::{ClientInfo, ClientState, Replication};
use crate::ids::ClientId;
use crate::net::{Ends, Peer};
use crate::pool::{ServerInfo, ServerState};

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Clients,
    Servers,
    /// Both, with more columns.
    All,
    /// Those of both that do something.
    Active,
}

/// A row for each.
pub(super) fn show(operations: &dyn Operations, which: Which) -> Vec<Row> {
    let clients = operations.clients();
    let mut rows = Vec::new();
    let debug = matches!(which, Which::All | Which::Active);
    if which != Which::Servers {
        let wanted = |client: &&ClientInfo| which != Which::Active || client.state != ClientState::Idle;
        rows.extend(clients.iter().filter(wanted).map(|client| of_client(client, debug)));
    }
    if which != Which::Clients {
        let clients: HashMap<ClientId, &ClientInfo> =
            clients.iter().map(|client| (client.id, client)).collect();
        let mut pools = operations.pools();
        pools.sort_by(|a, b| a.key().cmp(b.key()));
        let servers = pools.iter().flat_map(|pool| pool.servers());
        let wanted = |server: &ServerInfo| which != Which::Active || server.state != ServerState::Idle;
        rows.extend(servers.filter(wanted).map(|server| {
            let client = server.client.and_then(|client| clients.get(&client).copied());
            of_server(&server, client, debug)
        }));
    }
    rows
}

/// What both kinds have, in its place among the columns.
struct Socket<'a> {
    kind: &'static str,
    user: &'a str,
    database: &'a str,
    replication: Option<Replication>,
    state: &'static str,
    ends: &'a Ends,
    since: SystemTime,
    requested: SystemTime,
    wait: Duration,
    close_needed: bool,
    ptr: String,
    link: String,
    pid: u32,
    application: &'a str,
    prepared: usize,
    id: u64,
}

impl Socket<'_> {
    fn row(&self, debug: bool) -> Row {
        let (addr, port) = addr(self.ends.peer);
        let local = self.ends.local.map(|local| (ip(local.ip()), local.port()));
        let (local_addr, local_port) = local.unwrap_or_else(|| (addr.clone(), 0));
        let mut row = vec![
            Value::text(self.kind),
            Value::text(self.user),
            Value::text(self.database),
            Value::text(match self.replication {
                None => "none",
                Some(Replication::Logical) => "logical",
                Some(Replication::Physical) => "physical",
            }),
            Value::text(self.state),
            Value::Text(addr),
            Value::count(port),
            Value::Text(local_addr),
            Value::count(local_port),
            Value::Text(time(self.since)),
            Value::Text(time(self.requested)),
            Value::count(self.wait.as_secs()),
            Value::count(self.wait.subsec_micros()),
            Value::count(u8::from(self.close_needed)),
            Value::text(&*self.ptr),
            Value::text(&*self.link),
            Value::count(self.pid),
            Value::text(self.ends.tls.as_deref().unwrap_or_default()),
            Value::text(self.application),
            Value::count(self.prepared),
            Value::count(self.id),
        ];
        debug_assert_eq!(row.len(), SOCKET);
        if debug {
            row.resize(SOCKET + 7, Value::Int(0)); // places in buffers, of which a socket has none at rest
        }
        row
    }
}

fn of_client(client: &ClientInfo, debug: bool) -> Row {
    let state = match (client.state, debug) {
        (ClientState::Waiting, true) => "cl_waiting",
        (_, true) => "cl_active",
        (state, false) => state.word(),
    };
    let socket = Socket {
        kind: "C",
        user: &client.pool.user,
        database: &client.database,
        replication: client.replication,
        state,
        ends: &client.ends,
        since: client.since,
        requested: ago(client.requested).unwrap_or(client.since),
        wait: client.wait,
        close_needed: false,
        ptr: client.id.to_string(),
        link: client.server.map(|(server, _)| server.to_string()).unwrap_or_default(),
        pid: client.ends.pid.unwrap_or(0),
        application: &client.application,
        prepared: client.prepared,
        id: client.id.0,
    };
    socket.row(debug)
}

fn of_server(server: &ServerInfo, client: Option<&ClientInfo>, debug: bool) -> Row {
    let state = match (server.state, debug) {
        (ServerState::Active, false) => "active",
        (ServerState::Active, true) => "sv_active",
        (ServerState::Idle, false) => "idle",
        (ServerState::Idle, true) => "sv_idle",
        (ServerState::Cleaning, false) => "tested",
        (ServerState::Cleaning, true) => "sv_tested",
        (ServerState::Cancelling, false) => "being_canceled",
        (ServerState::Cancelling, true) => "sv_being_canceled",
    };
    let requested = client.and_then(|client| ago(client.requested)).or_else(|| ago(server.rested));
    let socket = Socket {
        kind: "S",
        user: &server.user,
        database: &server.pool.database,
        replication: None,
        state,
        ends: &server.ends,
        since: server.made,
        requested: requested.unwrap_or(server.made),
        wait: Duration::ZERO,
        close_needed: server.close_needed,
        ptr: server.id.to_string(),
        link: server.client.map(|client| client.to_string()).unwrap_or_default(),
        pid: server.pid,
        application: client.map(|client| &*client.application).unwrap_or_default(),
        prepared: server.prepared,
        id: server.id.0,
    };
    socket.row(debug)
}

/// Address and port of an end.
pub(super) fn addr(peer: Peer) -> (String, u16) {
    match peer {
        Peer::Tcp(address) => (ip(address.ip()), address.port()),
        Peer::Unix => ("unix".to_owned(), 0),
        Peer::Unknown => (String::new(), 0),
    }
}

/// An IPv4 address as itself, also when its client came to a socket of IPv6.
fn ip(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// The moment so long ago.
pub(super) fn ago(elapsed: Option<Duration>) -> Option<SystemTime> {
    elapsed.and_then(|elapsed| SystemTime::now().checked_sub(elapsed))
}

/// A moment as PgBouncer writes it, here always in UTC.
pub(super) fn time(at: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(at).to_string();
    text.replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_pgbouncer_does_it() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        assert_eq!(time(at), "2020-09-13 12:26:40 UTC");
    }

    #[test]
    fn addresses_are_written_as_people_know_them() {
        let tcp = |text: &str| Peer::Tcp(text.parse().unwrap_or_else(|error| panic!("{text}: {error}")));
        assert_eq!(addr(tcp("[::ffff:10.0.0.1]:5")), ("10.0.0.1".to_owned(), 5));
        assert_eq!(addr(tcp("[::1]:6")), ("::1".to_owned(), 6));
        assert_eq!((addr(Peer::Unix), addr(Peer::Unknown)), (("unix".to_owned(), 0), (String::new(), 0)));
    }
}
