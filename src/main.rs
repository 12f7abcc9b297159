//! The command line of Missile.
fn main() {}
