//! Children that answer for what could hang or end the doctor itself: the dynamic linker's preloading, and the driver.

use crate::governance::GovernanceError;
use std::fs;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long a witness may take: the driver takes seconds to wake many GPUs without persistence mode.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A question to a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Question {
    /// The path of each `libmissile.so` that is loaded in it, one a line.
    Preload,
    /// The driver's answer to being started, as JSON.
    Driver,
}

impl Question {
    /// The word for it on the command line.
    const fn name(self) -> &'static str {
        match self {
            Question::Preload => "preload",
            Question::Driver => "driver",
        }
    }
}

/// The paths of the libraries that are loaded in this process and whose file names begin so.
pub fn mapped(name: &str) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    let named = paths.filter(|path| path.rsplit('/').next().is_some_and(|file| file.starts_with(name)));
    // Each has several mappings, one after the other.
    let mut found: Vec<String> = named.map(str::to_owned).collect();
    found.dedup();
    found
}

/// A child that is asked.
pub struct Witness {
    child: Child,
    asked: Instant,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

/// A witness's words.
#[derive(Debug)]
pub struct Testimony {
    /// How it ended.
    pub status: ExitStatus,
    /// Its answer.
    pub stdout: String,
    /// Its complaints, or those of the dynamic linker.
    pub stderr: String,
}

/// Why a witness said nothing.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// It could not be made.
    #[error("cannot ask in a child process: {0}")]
    NotStarted(String),
    /// It did not end.
    #[error("no answer within {} s", .0.as_secs())]
    Hangs(Duration),
}

/// A witness could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum NotAsked {
    /// Its environment cannot be made.
    #[error(transparent)]
    Governance(#[from] GovernanceError),
    /// It says nothing.
    #[error(transparent)]
    Silence(#[from] Silence),
    /// It ended otherwise than by answering.
    #[error("the process that asked it ended early ({0})")]
    Ended(String),
}

impl Witness {
    /// Starts one: this program again, in the environment that the command has.
    pub fn ask(mut command: Command, question: Question) -> Result<Witness, Silence> {
        command.args(["doctor", "--witness", question.name()]);
        Witness::start(command)
    }

    fn start(mut command: Command) -> Result<Witness, Silence> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| Silence::NotStarted(error.to_string()))?;
        let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
        Ok(Witness { child, asked: Instant::now(), stdout, stderr })
    }

    /// Waits for its answer, at most so long since it was asked; then it is killed.
    pub fn hear(mut self, patience: Duration) -> Result<Testimony, Silence> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    let text = |output: &Receiver<Vec<u8>>| {
                        // What it started itself may hold the pipe open.
                        let said = output.recv_timeout(Duration::from_millis(500)).unwrap_or_default();
                        String::from_utf8_lossy(&said).trim().to_owned()
                    };
                    return Ok(Testimony { status, stdout: text(&self.stdout), stderr: text(&self.stderr) });
                }
                Ok(None) if self.asked.elapsed() < patience => thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    // Not waited for: what hangs in the kernel does not end by that.
                    let _ = self.child.kill();
                    return Err(Silence::Hangs(patience));
                }
                Err(error) => return Err(Silence::NotStarted(error.to_string())),
            }
        }
    }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut said = Vec::new();
            let _ = pipe.read_to_end(&mut said);
            sender.send(said)
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_hangs_is_given_up() {
        let witness = Witness::start(shell("exec sleep 60")).unwrap();
        let asked = Instant::now();
        assert!(matches!(witness.hear(Duration::from_millis(50)), Err(Silence::Hangs(_))));
        assert!(asked.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn both_outputs_are_heard_however_long() {
        let script = "head -c 200000 /dev/zero | tr '\\0' x >&2; echo said; exit 3";
        let testimony = Witness::start(shell(script)).unwrap().hear(Duration::from_secs(20)).unwrap();
        assert_eq!((testimony.status.code(), testimony.stdout.as_str()), (Some(3), "said"));
        assert_eq!(testimony.stderr.len(), 200_000);
    }

    #[test]
    fn a_loaded_library_is_found_by_its_name() {
        let found = mapped("libc.so");
        assert!(found.len() == 1 && found[0].contains("/libc.so"), "{found:?}");
        assert!(mapped("libnone.so").is_empty());
    }
}
