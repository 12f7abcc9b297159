//! The ways by which a program's calls come in: names of the driver's, `dlsym`, `cuGetProcAddress`, `ioctl`; and the ways
//! past all of them, which are noticed.

pub(crate) mod bypass;
pub(crate) mod dlsym;
mod elf;
mod ioctl;
pub(crate) mod names;
pub(crate) mod resolver;
