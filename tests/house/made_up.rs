//! The rules, held against small crates that keep them and that break them.

use crate::imports::imports;
use crate::rules::{Floors, circles, long_files, trespasses};
use crate::tree::Tree;
use std::fs;
use tempfile::TempDir;

/// A made-up crate: its files below `src`, and what is in them.
struct MadeUp {
    folder: TempDir,
    tree: Tree,
}

fn made_up(files: &[(&str, &str)]) -> MadeUp {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let tree = Tree::read(&folder.path().join("lib.rs"));
    MadeUp { folder, tree }
}

/// Which module imports which, as `from > to`.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let made_up = made_up(files);
    let name = |path: &Vec<String>| made_up.tree.modules[path].name();
    imports(&made_up.tree).iter().map(|import| format!("{} > {}", name(&import.from), name(&import.to))).collect()
}

/// Breaches of the rule about circles, without the temporary folder's name.
fn circles_in(files: &[(&str, &str)]) -> Vec<String> {
    let made_up = made_up(files);
    let folder = format!("{}/", made_up.folder.path().display());
    circles(&made_up.tree, &imports(&made_up.tree)).into_iter().map(|line| line.replace(&folder, "")).collect()
}

const FLOORS: Floors = &[&["base"], &["left", "right"], &["roof"]];

fn trespasses_in(files: &[(&str, &str)]) -> Vec<String> {
    let made_up = made_up(files);
    let folder = format!("{}/", made_up.folder.path().display());
    let found = trespasses(&made_up.tree, &imports(&made_up.tree), FLOORS);
    found.into_iter().map(|line| line.replace(&folder, "")).collect()
}

#[test]
fn every_way_to_write_a_path_is_an_import() {
    for text in [
        "use crate::b::Item;",
        "use crate::{b::Item, std as _};",
        "use super::b::{self as other, Item};",
        "use crate::b::*;",
        "use crate::b;",
        "fn f() { use crate::b; b::f() }",
        "fn f() -> crate::b::Item { todo!() }",
        "fn f() { super::b::f() }",
        "fn f() { self::super::b::f() }",
        "impl From<u8> for crate::b::Item {}",
        "fn f() { <u8 as crate::b::Trait>::f() }",
        "fn f() { println!(\"{}\", crate::b::f()) }",
        "macro_rules! m { () => { $crate::b::f() } }",
        "use crate as root; fn f() { root::b::f() }",
        "mod inner { pub use super::super::b; }",
        "use crate::*; fn f() { b::f() }",
    ] {
        let b = "pub struct Item; pub trait Trait {} pub fn f() {}";
        let found = arrows(&[("lib.rs", "mod a; mod b;"), ("a.rs", text), ("b.rs", b)]);
        assert!(found.contains(&"a > b".to_owned()) || found.contains(&"a::inner > b".to_owned()), "{text}: {found:?}");
    }
}

#[test]
fn other_crates_own_items_visibilities_and_tests_are_no_imports() {
    let a = "use b::Item; use ::b::Other; use std::fmt; pub(in crate::c) fn f() { g(); fmt::f(); c::f() } fn g() {}\n\
             #[cfg(test)] mod tests { use crate::c; } #[cfg(test)] use crate::c;";
    assert_eq!(arrows(&[("lib.rs", "mod a; mod c;"), ("a.rs", a), ("c.rs", "")]), [""; 0]);
}

#[test]
fn what_a_module_passes_on_is_imported_from_where_it_is_defined() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "mod one; mod two; pub use one::One; pub use two::*;"),
        ("a/one.rs", "pub struct One;"),
        ("a/two.rs", "pub struct Two;"),
        ("b.rs", "use crate::a::One; use crate::a::Two;"),
    ];
    assert_eq!(arrows(&files), ["a > a::one", "a > a::two", "b > a::one", "b > a::two"]);
}

#[test]
fn modules_that_take_all_of_each_other_are_read_to_an_end() {
    let all = "use super::a::*; use super::b::*; use super::c::*; use super::d::*; fn f() { nowhere::f() }";
    let files = [("lib.rs", "mod a; mod b; mod c; mod d;"), ("a.rs", all), ("b.rs", all), ("c.rs", all), ("d.rs", all)];
    assert_eq!(arrows(&files).len(), 12);
}

#[test]
fn modules_are_found_wherever_they_may_lie() {
    let files = [
        ("lib.rs", "mod a; mod b; #[path = \"elsewhere/c.rs\"] mod c; mod d { mod e; }"),
        ("a/mod.rs", "mod inner;"),
        ("a/inner.rs", "use crate::b;"),
        ("b.rs", "mod inner;"),
        ("b/inner.rs", ""),
        ("elsewhere/c.rs", "use crate::b::inner;"),
        ("d/e.rs", "use super::super::c;"),
    ];
    assert_eq!(arrows(&files), ["a::inner > b", "c > b::inner", "d::e > c"]);
}

#[test]
fn a_parent_and_its_own_may_import_each_other() {
    let files = [
        ("lib.rs", "mod a; pub struct Root;"),
        ("a.rs", "mod one; mod two; pub struct A; use one::One;"),
        ("a/one.rs", "pub struct One; use super::A; use super::two::Two;"),
        ("a/two.rs", "pub struct Two; use super::A; use crate::Root;"),
    ];
    assert_eq!(circles_in(&files), [""; 0]);
}

#[test]
fn two_modules_that_import_each_other_are_a_circle() {
    let files = [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b;"), ("b.rs", "\nuse crate::a;")];
    assert_eq!(circles_in(&files), ["circle of a, b:\n    a.rs:1: a imports b\n    b.rs:2: b imports a"]);
}

#[test]
fn a_circle_shows_through_what_is_within_modules_and_what_others_pass_on() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d; pub use c::C;"),
        ("a.rs", "mod inner; pub struct A;"),
        ("a/inner.rs", "use crate::b;"),
        ("b.rs", "use crate::C;"),
        ("c.rs", "pub struct C; use crate::a::A;"),
        ("d.rs", "use crate::a;"),
    ];
    let found = circles_in(&files);
    assert!(found.len() == 1 && found[0].starts_with("circle of a, b, c:\n"), "{found:?}");
}

#[test]
fn a_circle_deep_in_the_tree_is_found() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a.rs", "mod one; mod two; pub use one::One; pub use two::Two;"),
        ("a/one.rs", "pub struct One; use super::Two;"),
        ("a/two.rs", "pub struct Two; use super::One;"),
    ];
    let found = circles_in(&files);
    assert!(found.len() == 1 && found[0].starts_with("circle of one, two in a:\n"), "{found:?}");
}

/// The rooms of a house, with this in the room on the left.
fn house(left: &str) -> Vec<String> {
    trespasses_in(&[
        ("lib.rs", "mod base; mod left; mod right; mod roof; pub struct Root; use roof::Roof;"),
        ("base.rs", "pub struct Base;"),
        ("left.rs", "mod inner; pub struct Left;"),
        ("left/inner.rs", left),
        ("right.rs", "pub struct Right; use crate::base::Base;"),
        ("roof.rs", "pub struct Roof; use crate::{base::Base, left::Left, right::Right};"),
    ])
}

#[test]
fn a_room_may_import_what_is_below_it_and_its_own() {
    assert_eq!(house("use crate::base::Base; use crate::left::Left; use super::Left as Other;"), [""; 0]);
}

#[test]
fn a_wing_that_imports_its_sibling_is_told() {
    assert_eq!(house("use crate::right::Right;"), ["left/inner.rs:1: left::inner imports right"]);
}

#[test]
fn a_room_that_imports_what_is_above_it_is_told() {
    assert_eq!(house("\nuse crate::roof::Roof;"), ["left/inner.rs:2: left::inner imports roof"]);
    assert_eq!(house("fn f(_: crate::Root) {}"), ["left/inner.rs:1: left::inner imports crate"]);
}

#[test]
fn a_room_without_a_floor_is_told() {
    assert_eq!(trespasses_in(&[("lib.rs", "mod cellar;"), ("cellar.rs", "")]), ["cellar has no floor"]);
}

#[test]
fn files_with_a_line_too_many_are_told() {
    let made_up = made_up(&[
        ("lib.rs", "//\n//\n//\n"),
        ("long.rs", "//\n//\n//\n//\n"),
        ("target/made.rs", "//\n//\n//\n//\n"),
        ("long.txt", "\n\n\n\n"),
    ]);
    let expected = format!("{} has 4 lines", made_up.folder.path().join("long.rs").display());
    assert_eq!(long_files(made_up.folder.path(), 3), [expected]);
}
