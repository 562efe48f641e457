//! Ends what a test started even when the test itself is killed: a shell waits on a pipe that closes
//! when this process dies, in whatever way.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Runs a shell script when this process ends without having called [`Watchdog::call_off`].
pub struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// `script` gets `arguments` as `$1`, `$2` and so on.
    pub fn new(script: &str, arguments: &[&str]) -> Self {
        let script = format!("read -r word; [ \"$word\" = off ] && exit 0\n{script}");
        let mut shell = Command::new("sh")
            .args(["-c", &script, "watchdog"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell");
        let pipe = shell.stdin.take();
        Self { shell, pipe }
    }

    /// Everything was cleaned up already.
    pub fn call_off(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            drop(pipe.write_all(b"off\n"));
            drop(pipe);
            drop(self.shell.wait());
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.call_off();
    }
}

/// Sends a signal by name; a process that is gone already is fine.
pub fn signal(pid: u32, name: &str) {
    drop(
        Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "signal", name, &pid.to_string()])
            .stderr(Stdio::null())
            .status(),
    );
}
