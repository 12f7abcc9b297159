//! The rules of `SIMGPU_FAULT`: which request, and what is to happen at it.

use core::ffi::c_int;
use core::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The requests that a rule can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::os) enum Command {
    /// `UVM_MAP_EXTERNAL_ALLOCATION`.
    Map,
    /// `UVM_UNMAP_EXTERNAL`.
    Unmap,
    /// `NV_ESC_RM_ALLOC` of VRAM.
    Alloc,
    /// `NV_ESC_RM_FREE`.
    Free,
    /// `SET_TIMESLICE`.
    Slice,
    /// `GET_TIMESLICE`.
    GetSlice,
    /// `DISABLE_CHANNELS`, whether it stops channels or lets them go on.
    Stop,
    /// None of these.
    Other,
}

impl Command {
    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Map => "map",
            Command::Unmap => "unmap",
            Command::Alloc => "alloc",
            Command::Free => "free",
            Command::Slice => "slice",
            Command::GetSlice => "get_slice",
            Command::Stop => "stop",
            Command::Other => "other",
        }
    }
}

/// The requests that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Any,
    /// Those about memory: map, unmap, alloc and free.
    Memory,
    Only(Command),
}

impl Which {
    fn includes(self, command: Command) -> bool {
        match self {
            Which::Any => true,
            Which::Memory => matches!(command, Command::Map | Command::Unmap | Command::Alloc | Command::Free),
            Which::Only(wanted) => wanted == command,
        }
    }
}

/// The event that happens instead of a request, or around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::os) enum Happening {
    /// Nothing is done but what a failure does, and the parameter says this.
    Status(u32),
    /// Nothing is done, and `ioctl` fails.
    Errno(c_int),
    /// The request is served after this time.
    Delay(Duration),
    /// The process dies before the request is served.
    Death,
    /// The process dies after the request was served.
    DeathAfter,
}

/// Why a rule cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::os) enum RuleError {
    /// It does not have three parts.
    #[error("{0:?} is not of the form COMMAND:N:WHAT")]
    Form(String),
    /// The first part.
    #[error("{0:?} is no command; there are any, memory, map, unmap, alloc, free, slice, get_slice and stop")]
    Command(String),
    /// The second part.
    #[error("{0:?} is not the number of a request, from 1, with or without a + behind it")]
    Number(String),
    /// The third part.
    #[error(
        "{0:?} is none of status=NUMBER, errno=NUMBER, delay=MILLISECONDS, death and death-after, with numbers that are failures"
    )]
    Happening(String),
}

/// The events, and the requests at which they happen.
#[derive(Debug)]
pub(super) struct Rule {
    which: Which,
    first: u64,
    and_later: bool,
    happening: Happening,
    /// How many requests of this kind there were.
    seen: AtomicU64,
}

impl Rule {
    /// Counts a request; says what happens at it.
    pub(super) fn meet(&self, command: Command) -> Option<Happening> {
        if !self.which.includes(command) {
            return None;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let applies = number == self.first || self.and_later && number > self.first;
        applies.then_some(self.happening)
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let mut parts = text.trim().split(':');
        let (Some(command), Some(number), Some(what), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(RuleError::Form(text.into()));
        };
        let which = match command {
            "any" => Which::Any,
            "memory" => Which::Memory,
            "map" => Which::Only(Command::Map),
            "unmap" => Which::Only(Command::Unmap),
            "alloc" => Which::Only(Command::Alloc),
            "free" => Which::Only(Command::Free),
            "slice" => Which::Only(Command::Slice),
            "get_slice" => Which::Only(Command::GetSlice),
            "stop" => Which::Only(Command::Stop),
            _ => return Err(RuleError::Command(command.into())),
        };
        let first = number.strip_suffix('+').unwrap_or(number).parse().ok().filter(|&first: &u64| first > 0);
        let first = first.ok_or_else(|| RuleError::Number(number.into()))?;
        let happening = happening(what).ok_or_else(|| RuleError::Happening(what.into()))?;
        Ok(Rule { which, first, and_later: number.ends_with('+'), happening, seen: AtomicU64::new(0) })
    }
}

fn happening(text: &str) -> Option<Happening> {
    /// The greatest number that a system call can fail with.
    const LAST_ERRNO: u32 = 4095;
    match text.split_once('=') {
        None if text == "death" => Some(Happening::Death),
        None if text == "death-after" => Some(Happening::DeathAfter),
        Some(("status", code)) => number(code).filter(|&code| code != 0).map(Happening::Status),
        Some(("errno", code)) => {
            let code = number(code).filter(|code| (1..=LAST_ERRNO).contains(code))?;
            Some(Happening::Errno(code as c_int))
        }
        Some(("delay", time)) => number(time).map(|time| Happening::Delay(Duration::from_millis(time.into()))),
        _ => None,
    }
}

/// A number, decimal or hexadecimal.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(rule: &str, commands: &[Command]) -> Vec<bool> {
        let rule: Rule = rule.parse().expect("a rule");
        commands.iter().map(|&command| rule.meet(command).is_some()).collect()
    }

    #[test]
    fn a_rule_counts_the_requests_that_it_names() {
        let commands = [Command::Map, Command::Alloc, Command::Map, Command::Other, Command::Map];
        assert_eq!(met("map:2:death", &commands), [false, false, true, false, false]);
        assert_eq!(met("map:2+:death", &commands), [false, false, true, false, true]);
        assert_eq!(met("any:4:death", &commands), [false, false, false, true, false]);
        assert_eq!(met("memory:4:death", &commands), [false, false, false, false, true]);
        assert_eq!(met("free:1+:death", &commands), [false; 5]);
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(happening("status=0x1A"), Some(Happening::Status(0x1A)));
        assert_eq!(happening("errno=12"), Some(Happening::Errno(libc::ENOMEM)));
        assert_eq!(happening("delay=250"), Some(Happening::Delay(Duration::from_millis(250))));
        assert_eq!(happening("death-after"), Some(Happening::DeathAfter));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (text, error) in [
            ("map:1", RuleError::Form("map:1".into())),
            ("map:1:death:2", RuleError::Form("map:1:death:2".into())),
            ("remap:1:death", RuleError::Command("remap".into())),
            ("map:0:death", RuleError::Number("0".into())),
            ("map:+:death", RuleError::Number("+".into())),
            ("map:1:status=0", RuleError::Happening("status=0".into())),
            ("map:1:errno=5000", RuleError::Happening("errno=5000".into())),
            ("map:1:death=1", RuleError::Happening("death=1".into())),
        ] {
            assert_eq!(text.parse::<Rule>().map(drop), Err(error), "{text}");
        }
    }
}
