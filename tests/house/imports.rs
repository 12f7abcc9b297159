//! Which module of a crate imports which: every path that is written is followed to the module that defines what it names.
//!
//! A name that a module only passes on (`pub use`) counts as imported from where it is defined, so that no circle hides
//! behind a parent that passes on what its children define.

use crate::tree::{Module, Tree, Written};
use std::collections::{BTreeMap, HashSet};

/// One module names something of another.
#[derive(Debug)]
pub struct Import {
    /// The path of the module that imports.
    pub from: Vec<String>,
    /// The path of the module that it imports from.
    pub to: Vec<String>,
    /// The first line that says so, in the file of `from`.
    pub line: usize,
}

/// Modules in which a name was already looked for: names may be passed on in a circle.
type Looked = HashSet<(Vec<String>, String)>;

/// All imports within a crate, of each two modules the first.
pub fn imports(tree: &Tree) -> Vec<Import> {
    let mut found = BTreeMap::new();
    for module in tree.modules.values() {
        let taken = module.taken.values().chain(&module.taken_whole);
        // A name of one word is the module's own, or one that it took.
        let named = module.named.iter().filter(|written| written.words.len() > 1);
        for written in taken.chain(named) {
            if let Some(to) = follow(tree, module, &written.words, &mut Looked::new()).filter(|to| *to != module.path) {
                let line = found.entry((module.path.clone(), to)).or_insert(written.line);
                *line = written.line.min(*line);
            }
        }
    }
    found.into_iter().map(|((from, to), line)| Import { from, to, line }).collect()
}

/// The module that defines what a path in `module` names, or `None` where that is no part of this crate.
fn follow(tree: &Tree, module: &Module, words: &[String], looked: &mut Looked) -> Option<Vec<String>> {
    let mut at = module.path.clone();
    let mut rest = words;
    loop {
        match rest.first().map(String::as_str) {
            Some("crate") => at.clear(),
            Some("self") => {}
            Some("super") => drop(at.pop()?),
            _ => break,
        }
        rest = &rest[1..];
    }
    let is_anchored = rest.len() < words.len();
    let start = tree.modules.get(&at)?;
    let Some(first) = rest.first() else { return Some(at) };
    match step(tree, start, first, &rest[1..], looked) {
        // Within this crate, if by a name that a macro made; a path that starts elsewhere is that of another crate.
        None if is_anchored => Some(at),
        found => found,
    }
}

/// The path that `first` in `module` leads to, with what comes behind it.
fn step(tree: &Tree, module: &Module, first: &str, rest: &[String], looked: &mut Looked) -> Option<Vec<String>> {
    if !looked.insert((module.path.clone(), first.to_owned())) {
        return None;
    }
    let inner = [&module.path[..], &[first.to_owned()]].concat();
    if let Some(inner) = tree.modules.get(&inner) {
        return match rest.first() {
            Some(next) => step(tree, inner, next, &rest[1..], looked).or(Some(inner.path.clone())),
            None => Some(inner.path.clone()),
        };
    }
    if module.items.contains(first) {
        return Some(module.path.clone());
    }
    if let Some(Written { words, .. }) = module.taken.get(first) {
        // `use first::…` of another crate leads nowhere, and not to itself.
        let words = [words, rest].concat();
        return if words[0] == first { None } else { follow(tree, module, &words, looked) };
    }
    module.taken_whole.iter().find_map(|written| {
        let whole = follow(tree, module, &written.words, looked)?;
        step(tree, &tree.modules[&whole], first, rest, looked)
    })
}
