//! The house rules that a compiler does not check: which modules may import which, and how long a file may be.
//!
//! [`tree`] reads a crate's modules, [`imports`] finds what each of them names of the others, and [`rules`] says what is
//! wrong with that. `made_up` holds the rules themselves against small trees that keep them and that break them.

mod imports;
mod made_up;
mod rules;
mod tree;

use imports::imports;
use rules::{Floors, circles, long_files, trespasses};
use std::path::Path;
use tree::Tree;

/// The crates whose modules must not import each other in a circle.
const WITHOUT_CIRCLES: [&str; 5] = ["shim", "region", "scheduler", "simgpu", "observe"];

/// The floors of the shim, from the ground up. Rooms of one floor that stand apart are wings.
const FLOORS_OF_THE_SHIM: Floors = &[
    &["base"],
    &["driver"],
    &["rm"],
    &["tenant"],
    &["memory", "copies", "launches", "slices"],
    &["intercept"],
    &["process"],
    &["dispatch"],
    &["exports"],
];

/// The most lines of a file.
const MOST_LINES: usize = 500;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn tree_of(name: &str) -> Tree {
    Tree::read(&workspace().join(name).join("src/lib.rs"))
}

/// Fails with the list where there is anything on it.
#[track_caller]
fn assert_none(found: Vec<String>) {
    let list = found.join("\n").replace(&format!("{}/", workspace().display()), "");
    assert!(found.is_empty(), "{} found:\n{list}", found.len());
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let of = |name| {
        let tree = tree_of(name);
        let imports = imports(&tree);
        // A reader that finds no imports finds no circles either.
        assert!(imports.len() > 20, "{name}: {} imports", imports.len());
        circles(&tree, &imports).into_iter().map(move |circle| format!("{name}: {circle}"))
    };
    assert_none(WITHOUT_CIRCLES.into_iter().flat_map(of).collect());
}

#[test]
fn modules_of_the_shim_import_only_from_the_floors_below_theirs() {
    let tree = tree_of("shim");
    assert_none(trespasses(&tree, &imports(&tree), FLOORS_OF_THE_SHIM));
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    assert_none(long_files(workspace(), MOST_LINES));
}
