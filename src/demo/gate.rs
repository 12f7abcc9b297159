//! Has tenants start together: each says that it is ready and waits for a line on standard input.

use std::io::{self, BufRead, Write};

/// A tenant's word for being ready.
pub const READY: &str = "ready";

/// Says that this tenant is ready, and waits for the word to go; the end of the input is one too.
pub fn wait_for_go() -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{READY}")?;
    output.flush()?;
    io::stdin().lock().read_line(&mut String::new()).map(|_| ())
}
