//! Breaches of the rules by a crate's imports and a repository's files, as lines for whoever has to mend it.

use crate::imports::Import;
use crate::tree::Tree;
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Top-level modules by floor, from the ground up. The root is above all of them.
pub type Floors = &'static [&'static [&'static str]];

/// Circles of modules.
///
/// A module and what is within it may import each other. The modules side by side in one must import each other one way
/// only, each of them with all that is within it.
pub fn circles(tree: &Tree, imports: &[Import]) -> Vec<String> {
    let mut found = Vec::new();
    let parents: BTreeSet<&Vec<String>> = tree.modules.keys().collect();
    for parent in parents {
        let among: Vec<(&str, &str, &Import)> = imports
            .iter()
            .filter_map(|import| Some((child(parent, &import.from)?, child(parent, &import.to)?, import)))
            .filter(|(from, to, _)| from != to)
            .collect();
        let graph: DiGraphMap<&str, ()> = among.iter().map(|&(from, to, _)| (from, to)).collect();
        for mut circle in tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1) {
            circle.sort_unstable();
            let within = if parent.is_empty() { String::new() } else { format!(" in {}", parent.join("::")) };
            let by = among.iter().filter(|(from, to, _)| circle.contains(from) && circle.contains(to));
            let by = by.map(|(_, _, import)| format!("\n    {}", shown(tree, import)));
            found.push(format!("circle of {}{within}:{}", circle.join(", "), by.collect::<String>()));
        }
    }
    found
}

/// The child of `parent` that a module is, or is in.
fn child<'a>(parent: &[String], module: &'a [String]) -> Option<&'a str> {
    module.strip_prefix(parent)?.first().map(String::as_str)
}

/// Imports from a floor that is not below that of the module that imports, and top-level modules that have no floor.
pub fn trespasses(tree: &Tree, imports: &[Import], floors: Floors) -> Vec<String> {
    let room = |module: &[String]| module.first().cloned();
    let floor = |room: &Option<String>| match room {
        Some(room) => floors.iter().position(|floor| floor.contains(&&**room)),
        None => Some(floors.len()),
    };
    let rooms: BTreeSet<Option<String>> = tree.modules.keys().map(|module| room(module)).collect();
    let homeless = rooms.iter().filter(|room| floor(room).is_none());
    let homeless = homeless.map(|room| format!("{} has no floor", room.as_deref().expect("the root has one")));
    let wrong = imports.iter().filter(|import| {
        let [from, to] = [&import.from, &import.to].map(|module| room(module));
        from != to && matches!((floor(&from), floor(&to)), (Some(own), Some(other)) if other >= own)
    });
    homeless.chain(wrong.map(|import| shown(tree, import))).collect()
}

fn shown(tree: &Tree, import: &Import) -> String {
    let [from, to] = [&import.from, &import.to].map(|path| &tree.modules[path]);
    format!("{}:{}: {} imports {}", from.file.display(), import.line, from.name(), to.name())
}

/// Files of Rust below a folder that have more lines than this. What is built and what is hidden is not looked at.
pub fn long_files(folder: &Path, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                found.extend(long_files(&path, most));
            }
        } else if name.ends_with(".rs") {
            let lines = fs::read_to_string(&path).expect("Rust is text").lines().count();
            found.extend((lines > most).then(|| format!("{} has {lines} lines", path.display())));
        }
    }
    found
}
