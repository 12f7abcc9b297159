//! A proof, at compile time, that the functions governed by Missile have the types of its table.

use abi::cuda::*;
use std::ffi::{c_char, c_int, c_uint, c_void};

use super::copy::*;
use super::graph::*;
use super::init::*;
use super::launch::*;
use super::memory::*;
use super::resolve::*;

macro_rules! check {
    ($($class:ident $name:ident($($arg:ident: $ty:ty),*);)*) => {
        $(const _: unsafe extern "C" fn($($ty),*) -> CUresult = $name;)*
    };
}

abi::governed_functions!(check);
