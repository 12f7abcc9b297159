//! The simulator's modules lie in layers: each uses those below it only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The top-level modules, from the lowest to the highest.
const LAYERS: [&str; 7] = ["mix", "spec", "timing", "machine", "os", "objects", "api"];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The source files below a folder, but for tests, which may use anything.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("tests.rs") && !path.components().any(|part| part.as_os_str() == "tests") {
            found.push(path);
        }
    }
    found
}

/// The text of a file up to its tests.
fn text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// The names that follow a path, one or several in braces.
fn named<'a>(text: &'a str, path: &str) -> Vec<&'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let after = code.flat_map(|line| line.split(path).skip(1).collect::<Vec<_>>());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = |part: &'a str| part.trim_start().split(|c| !is_name(c)).next().unwrap_or_default();
    after
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(first).collect(),
            None => vec![first(rest)],
        })
        .collect()
}

#[test]
fn no_module_uses_one_above_it() {
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    for path in files(&sources()) {
        let relative = path.strip_prefix(sources()).expect("below");
        let own = relative.iter().next().and_then(|part| part.to_str()).expect("a name").trim_end_matches(".rs");
        let Some(own_rank) = rank(own) else {
            assert_eq!(own, "lib", "{} is in no layer", relative.display());
            continue;
        };
        for used in named(&text(&path), "crate::") {
            let above = rank(used).is_some_and(|rank| rank > own_rank);
            assert!(!above, "{} uses `{used}`, which lies above `{own}`", relative.display());
        }
    }
}

#[test]
fn objects_form_no_circle() {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let folder = sources().join("objects");
    for path in files(&folder) {
        let part = path.strip_prefix(&folder).expect("below").iter().next().and_then(|part| part.to_str());
        let own = part.expect("a name").trim_end_matches(".rs").to_owned();
        let text = text(&path);
        // A file deeper down names its neighbours with `super` and the objects beside its parent in full.
        let siblings = if path.parent() == Some(folder.as_path()) { named(&text, "super::") } else { Vec::new() };
        let all = siblings.into_iter().chain(named(&text, "crate::objects::")).filter(|name| *name != own);
        uses.entry(own.clone()).or_default().extend(all.map(str::to_owned));
    }
    assert!(uses["command"].contains("transfer"), "imports are read: {uses:?}");
    // Whatever uses nothing that is left goes, until nothing is left or all that is left is in circles.
    while !uses.is_empty() {
        let left: BTreeSet<String> = uses.keys().cloned().collect();
        uses.retain(|_, used| used.iter().any(|name| left.contains(name)));
        assert!(uses.len() < left.len(), "circles among {left:?}");
    }
}
