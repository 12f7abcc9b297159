//! The demo's child processes: none outlives it.

use crate::failure::{Failure, Outcome};
use scheduler::Stop;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a wait looks whether the demo was interrupted.
const LOOK: Duration = Duration::from_millis(50);

/// A child process; killed when dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program. What it says on standard error goes to `notes`. `name` is for messages.
    pub fn start(name: &'static str, mut command: Command, notes: &File) -> Outcome<Process> {
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot start {name}: {error}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(notes.try_clone().map_err(cannot)?);
        // SAFETY: prctl with a number is safe between fork and exec. The child dies with the demo's thread, however
        // that ends.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            })
        };
        let mut child = command.spawn().map_err(cannot)?;
        let (sender, lines) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Process { name, child, lines })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says; `Ok(None)` when it has said all.
    pub fn line(&self, limit: Duration, stop: &Stop) -> Outcome<Option<String>> {
        let asked = Instant::now();
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if stop.is_requested() => return Err(Failure::interrupted()),
                Err(RecvTimeoutError::Timeout) if asked.elapsed() > limit => {
                    let seconds = limit.as_secs();
                    return Err(Failure::failed(format!("{} said nothing for {seconds} s", self.name)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// All that it says until it ends well.
    pub fn output(mut self, limit: Duration, stop: &Stop) -> Outcome<String> {
        let mut output = String::new();
        while let Some(line) = self.line(limit, stop)? {
            output += &line;
            output.push('\n');
        }
        let status = self.wait()?;
        // Ctrl-C ends the children as well, and they may be first.
        if stop.is_requested() {
            return Err(Failure::interrupted());
        }
        match (status.success(), status.code()) {
            (true, _) => Ok(output),
            (_, Some(3)) => Err(Failure::impossible(format!("{} is not possible here", self.name))),
            _ => Err(Failure::failed(format!("{} failed ({status})", self.name))),
        }
    }

    /// Gives it a line to read.
    pub fn tell(&mut self, line: &str) -> Outcome {
        let told = self.child.stdin.as_mut().map(|input| writeln!(input, "{line}"));
        match told {
            Some(Err(error)) => Err(Failure::failed(format!("{} does not listen: {error}", self.name))),
            _ => Ok(()),
        }
    }

    /// Asks it to end, and waits a little.
    pub fn end(mut self) {
        if let Ok(pid) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: kill touches no memory; the child is not waited for yet, so the number is its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(1) && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn wait(&mut self) -> Outcome<ExitStatus> {
        let name = self.name;
        self.child.wait().map_err(|error| Failure::failed(format!("cannot wait for {name}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
