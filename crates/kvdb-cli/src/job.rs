//! Running a command for as long as something is held, and ending it with everything that it started.

use std::ffi::OsString;
use std::future::Future;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};

use crate::failure::Failure;
use crate::signals::{Signals, signal_code};

/// How long a command may take to end once it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A running command.
pub(crate) struct Job {
    child: Child,
    pid: Option<Pid>,
    name: String,
    /// Whether it leads a process group of its own, so that what it started is reached too.
    group: bool,
}

impl Job {
    /// Starts a command with these variables in its environment.
    pub(crate) fn start(command: &[OsString], variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::Usage("a command is missing behind `--`".to_owned()));
        };
        // At a terminal it stays in our group: another one could not read the keyboard.
        let group = !std::io::stdin().is_terminal();
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().copied()).kill_on_drop(true);
        if group {
            command.process_group(0);
        }
        let name = program.to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
                Ok(Self { child, pid, name, group })
            }
            Err(error) => Err(Failure::Io(format!("cannot run `{name}`"), error)),
        }
    }

    /// Waits for the end of the command; ends it if what it runs for is lost or somebody insists.
    ///
    /// # Errors
    /// What `lost` answers, once the command has ended.
    pub(crate) async fn run(
        mut self,
        lost: impl Future<Output = Failure>,
        signals: &mut Signals,
    ) -> Result<ExitStatus, Failure> {
        let mut lost = std::pin::pin!(lost);
        let mut asked = false;
        loop {
            tokio::select! {
                status = self.child.wait() => return self.waited(status),
                failure = &mut lost => {
                    self.end().await?;
                    return Err(failure);
                }
                signal = signals.asked() => {
                    if asked {
                        self.send(Signal::KILL);
                    } else if let Some(signal) = Signal::from_named_raw(signal).filter(|signal| !self.has_had(*signal)) {
                        self.send(signal);
                    }
                    asked = true;
                }
            }
        }
    }

    /// Whether the command got this signal too: a terminal sends Ctrl-C to its whole group, and a second one would
    /// mean more than the first.
    fn has_had(&self, signal: Signal) -> bool {
        !self.group && signal == Signal::INT
    }

    async fn end(&mut self) -> Result<(), Failure> {
        self.send(Signal::TERM);
        let in_time = tokio::time::timeout(GRACE, self.child.wait()).await;
        if in_time.is_err() || self.group {
            // Of a group also for what the command started and left behind.
            self.send(Signal::KILL);
        }
        let status = match in_time {
            Ok(status) => status,
            Err(_) => self.child.wait().await,
        };
        self.waited(status).map(drop)
    }

    fn waited(&self, status: std::io::Result<ExitStatus>) -> Result<ExitStatus, Failure> {
        status.map_err(|error| Failure::Io(format!("cannot wait for `{}`", self.name), error))
    }

    /// Sends a signal; a command that has ended meanwhile needs none.
    fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            let _ = if self.group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        }
    }
}

/// How a command ended as a shell has it: its own exit code.
pub(crate) fn as_ours(status: ExitStatus) -> Result<(), Failure> {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(1),
        (None, Some(signal)) => signal_code(signal),
        (None, None) => 1,
    };
    if code == 0 { Ok(()) } else { Err(Failure::Exit(code)) }
}
