//! The table of governed functions agrees with itself. `check_headers.py` holds it against NVIDIA's headers.

use abi::cuda::*;
use core::ffi::{c_char, c_int, c_uint, c_void};
use std::collections::HashMap;

/// One row, as text; types are compared by their spelling.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    class: &'static str,
    kind: &'static str,
    types: &'static [&'static str],
}

macro_rules! rows {
    ($($class:ident $kind:ident $name:ident($($arg:ident: $ty:ty),* $(,)?);)*) => {
        /// Proof that every type in the table is one that C can pass.
        #[deny(improper_ctypes_definitions)]
        #[allow(non_snake_case, unused_variables)]
        mod types {
            use super::*;
            $(pub(super) extern "C" fn $name($($arg: $ty),*) -> CUresult { CUDA_SUCCESS })*
        }

        const ROWS: &[(&str, Row)] = &[$((
            stringify!($name),
            Row {
                class: stringify!($class),
                kind: stringify!($kind),
                types: { let _ = types::$name; &[$(stringify!($ty)),*] },
            },
        )),*];
    };
}
abi::governed_functions!(rows);

const CLASSES: [&str; 12] =
    ["init", "resolver", "alloc", "free", "info", "copy", "launch", "graph", "stream", "event", "context", "export"];

fn plain(name: &str) -> Option<&str> {
    name.strip_suffix("_ptsz").or_else(|| name.strip_suffix("_ptds"))
}

#[test]
fn names_are_unique() {
    let by_name: HashMap<_, _> = ROWS.iter().map(|(name, row)| (name, row)).collect();
    assert_eq!(by_name.len(), ROWS.len());
}

#[test]
fn names_and_classes_are_known() {
    for (name, row) in ROWS {
        assert!(name.starts_with("cu"), "{name}");
        assert!(CLASSES.contains(&row.class), "{name}: {}", row.class);
    }
}

#[test]
fn a_per_thread_spelling_follows_its_plain_one_and_is_alike() {
    for pair in ROWS.windows(2) {
        let [(before, first), (name, row)] = pair else { unreachable!("windows of two") };
        if let Some(plain) = plain(name) {
            assert_eq!(*before, plain, "{name} stands elsewhere");
            assert_eq!(first, row, "{name}");
        }
    }
    assert!(plain(ROWS[0].0).is_none());
}
