//! Standard output.

use crate::failure::{Failure, Outcome};
use std::io::{self, ErrorKind, Write};

/// Prints a text, whole. Somebody who reads no further, such as `head`, is no failure.
pub fn print(text: &str) -> Outcome {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::failed),
    }
}
