//! `libmissile.so`: the library that is preloaded into a tenant.
//!
//! It stands between an unmodified CUDA program and the driver. It knows the driver's functions and the kernel's ioctls
//! (`abi`), the region (`region`) and the tenant's settings (`settings`). For each governed call it answers three
//! questions in three lines: what is this (announce), is it ours to govern (decide), and then it calls the real driver
//! (forward). It must never crash or hang its host, change the host's process-wide state (signals, umask, locale,
//! standard output), run anything before the program itself calls the driver, start a thread before a successful
//! `cuInit`, or allocate, lock or log on the path of a launch. On any doubt the call passes through untouched.
//!
//! What it exports is visible in two places: the table [`abi::governed_functions!`], from which `exports` makes the
//! driver's names, and the three functions that `symbols` and `kernel` define: `dlsym`, `ioctl` and `missile_extents`.

#![cfg_attr(test, allow(dead_code, reason = "without exported names nothing calls the hooks"))]

mod announce;
mod background;
mod broken;
mod captures;
mod copies;
mod coverage;
mod decision;
mod donors;
mod elf;
mod entry;
mod export;
mod exportable;
mod exports;
mod extents;
mod fault;
mod fork;
mod gpus;
mod graphs;
mod groups;
mod handles;
mod hooks;
mod kernel;
mod life;
mod log;
mod overlay;
mod pager;
mod plan;
mod proof;
mod real;
mod room;
mod symbols;
mod traffic;
