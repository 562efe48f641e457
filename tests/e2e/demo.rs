//! The demo, as its own text says: the same query as two tenants, and an attempt to cheat.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::wire::{Message, Wire};
use crate::support::{Version, free_port, root, wait_until, watchdog::signal};

/// Ends the demo as Ctrl-C does, so that it removes what it made; also when the test panics.
struct Demo(std::process::Child);

impl Drop for Demo {
    fn drop(&mut self) {
        signal(self.0.id(), "INT");
        drop(self.0.wait());
    }
}

#[test]
fn two_tenants_two_answers_and_no_cheating() {
    let port = free_port();
    let mut child = Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(["demo", "--port", &port.to_string(), "--postgres-bin"])
        .arg(Version::V15.bin())
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("howdah demo");
    // Open to the end: whoever writes to a pipe that nobody reads any more ends.
    let mut said = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut demo = Demo(child);
    let text: Vec<String> =
        said.by_ref().map_while(Result::ok).take_while(|line| !line.contains("Ctrl-C")).collect();
    let text = text.join("\n");
    assert!(text.contains("demo_app.acme") && text.contains("SET app.tenant_id = 'globex'"), "{text}");
    wait_until("Howdah listens", || {
        assert!(demo.0.try_wait().expect("its state").is_none(), "the demo ended: {text}");
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let orders = |tenant: &str| {
        let parameters = [("user", tenant), ("database", "demo")];
        let mut wire = Wire::try_login(("127.0.0.1", port), &parameters, "demo").expect("a login");
        let answer = wire.query("SELECT count(*), sum(amount) FROM orders");
        let row = answer.iter().find(|m| m.tag == b'D').map(Message::row).expect("a row");
        let cheat = wire.query("SET app.tenant_id = 'globex'");
        assert_eq!(cheat[0].sqlstate(), "42501", "{cheat:?}");
        let again = wire.query("SELECT count(*), sum(amount) FROM orders");
        assert_eq!(again.iter().find(|m| m.tag == b'D').map(Message::row).as_ref(), Some(&row));
        row
    };
    let (acme, globex) = (orders("demo_app.acme"), orders("demo_app.globex"));
    assert_ne!(acme, globex);
    assert_eq!((acme[0].as_deref(), globex[0].as_deref()), (Some("36"), Some("48")));
}
