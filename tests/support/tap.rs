//! A relay between Howdah and a server that counts round trips.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long an answer is kept back. Whatever Howdah sends without needing the answer is sent meanwhile, in as many
/// writes as it likes, and belongs to the same flight.
const HELD: Duration = Duration::from_millis(25);

/// Listens on loopback and passes each connection on to a server. For one connection that is used by one
/// client at a time: flights of several would be taken for one.
pub struct Tap {
    pub port: u16,
    flights: Flights,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

/// What went to the server between two answers; the flag: it was answered.
type Flights = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

impl Tap {
    pub fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("its address").port();
        let (flights, stop) = (Flights::default(), Arc::new(AtomicBool::new(false)));
        let (log, ended) = (Arc::clone(&flights), Arc::clone(&stop));
        let acceptor = std::thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                relay(client, server, &log);
            }
        });
        Self { port, flights, stop, acceptor: Some(acceptor) }
    }

    /// What has flown to the server and was answered, flight by flight, since the last call.
    pub fn take(&self) -> Vec<Vec<u8>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let open = flights.iter().position(|(_, answered)| !answered).unwrap_or(flights.len());
        flights.drain(..open).map(|(bytes, _)| bytes).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn relay(client: TcpStream, server: TcpStream, flights: &Flights) {
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else { return };
    let log = Arc::clone(flights);
    std::thread::spawn(move || {
        let mut chunk = [0; 16 << 10];
        while let Ok(n @ 1..) = from_client.read(&mut chunk) {
            let mut flights = log.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.last_mut() {
                Some((bytes, false)) => bytes.extend_from_slice(&chunk[..n]),
                _ => flights.push((chunk[..n].to_vec(), false)),
            }
            drop(flights);
            if to_server.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        drop(to_server.shutdown(Shutdown::Both));
    });
    let (mut from_server, mut to_client) = (server, client);
    let log = Arc::clone(flights);
    std::thread::spawn(move || {
        let mut chunk = [0; 16 << 10];
        while let Ok(n @ 1..) = from_server.read(&mut chunk) {
            std::thread::sleep(HELD);
            let mut flights = log.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, answered)) = flights.last_mut() {
                *answered = true;
            }
            drop(flights);
            if to_client.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
    });
}
