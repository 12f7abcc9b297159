//! Programs that tests start, and what they say.

use super::LONG;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// A program's output, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// Its output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// How many lines it said on standard error.
    pub fn complaints(&self) -> usize {
        self.stderr.lines().count()
    }

    /// The one line that it said on standard error.
    #[track_caller]
    pub fn one_line(&self) -> &str {
        assert_eq!(self.complaints(), 1, "one line is said: {self:?}");
        self.stderr.trim_end()
    }
}

/// Runs a program to its end, which must come.
#[track_caller]
pub fn said(command: &mut Command) -> Said {
    let program = Held::start(command.stdin(Stdio::null()));
    program.finish()
}

/// A program that runs beside the test; killed when dropped.
pub struct Held {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<thread::JoinHandle<String>>,
}

impl Held {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Held {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut errors = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Held { child, lines, stderr: Some(stderr) }
    }

    /// Starts a program that can be told something.
    pub fn start_listening(command: &mut Command) -> Held {
        Held::start(command.stdin(Stdio::piped()))
    }

    /// Its process id: that of the tenant as well, as `missile run` becomes the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says, as JSON.
    #[track_caller]
    pub fn says(&self) -> Value {
        let line = self.lines.recv_timeout(LONG).expect("the program says a line in time");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    }

    /// The next line that it says, as JSON, or `None` where it ends first.
    #[track_caller]
    pub fn may_say(&self) -> Option<Value> {
        match self.lines.recv_timeout(LONG) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program hangs"),
        }
    }

    /// Its output up to a line that has `part` in it, with that line, or to its end.
    #[track_caller]
    pub fn says_up_to(&self, part: &str) -> String {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => said = said + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => return said,
                Err(RecvTimeoutError::Timeout) => panic!("the program hangs after {said:?}"),
            }
            if said.lines().last().is_some_and(|line| line.contains(part)) {
                return said;
            }
        }
    }

    /// Lets it go on from where it waits for a line.
    pub fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The rest of its output, once it ended by itself.
    #[track_caller]
    pub fn finish(mut self) -> Said {
        drop(self.child.stdin.take());
        let mut stdout = String::new();
        let asked = Instant::now();
        while let Ok(line) = self.lines.recv_timeout(LONG.saturating_sub(asked.elapsed())) {
            stdout += &line;
            stdout.push('\n');
        }
        let mut code = None;
        while asked.elapsed() < LONG {
            if let Some(status) = self.child.try_wait().unwrap() {
                code = Some(status);
                break;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let status = code.expect("the program ends in time");
        Said { code: status.code(), stdout, stderr: self.stderr.take().unwrap().join().unwrap() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
