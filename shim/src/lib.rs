//! `libmissile.so`: the library that is preloaded into a tenant.
//!
//! It stands between an unmodified CUDA program and the driver. It knows the driver's functions and the kernel's ioctls
//! (`abi`), the region (`region`) and the tenant's settings (`settings`). For each governed call it answers three
//! questions in three lines: what is this (announce), is it ours to govern (decide), and then it calls the driver (forward). It must never crash or hang its host, change the host's process-wide state (signals, umask, locale,
//! standard output), run anything before the program itself calls the driver, start a thread before a successful
//! `cuInit`, or allocate, lock or log on the path of a launch. On any doubt the call passes through untouched.
//!
//! Its exports are visible in two places: the table [`abi::governed_functions!`], from which `exports` makes the driver's
//! names, and the three other functions: `dlsym` there, `ioctl` and `missile_extents`.
//!
//! A folder is a wing. Imports go down only: base < driver < rm < tenant < {memory, copies, launches, slices} < intercept <
//! process; wings of one floor do not know each other (tests/house.rs holds them to it).

#![cfg_attr(test, allow(dead_code, reason = "without exported names nothing calls the hooks"))]

mod base;
mod copies;
mod dispatch;
mod driver;
mod exports;
mod intercept;
mod launches;
mod memory;
mod process;
mod rm;
mod slices;
mod tenant;
