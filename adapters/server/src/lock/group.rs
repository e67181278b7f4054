//! The command, and all processes that it starts.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// How often to look whether processes that were told to end have done so.
const LOOK: Duration = Duration::from_millis(20);

/// A command in a process group of its own.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    /// Starts a command that holds a lock.
    pub(super) fn start(command: &[OsString], lock: &str, token: u64) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).env("QUORATE_LOCK", lock).env("QUORATE_TOKEN", token.to_string());
        // The terminal is our group's. A command that read from it would be stopped, with the lock in its hand.
        if io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, id })
    }

    /// Waits until the command itself has ended.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends a signal to all of them.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // There may be none left.
            let _ = kill_process_group(id, signal);
        }
    }

    /// Has all of them end: when they are asked to, or at the end of `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        // Those that are stopped hear of it only once they go on.
        self.signal(Signal::CONT);
        let end = Instant::now() + grace;
        while self.is_there() && Instant::now() < end {
            sleep(LOOK).await;
        }
        if self.is_there() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
    }

    fn is_there(&mut self) -> bool {
        // One that has ended counts until it was waited for.
        let _ = self.child.try_wait();
        self.id.is_some_and(|id| test_kill_process_group(id).is_ok())
    }
}

/// What a shell would make of it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
