//! The documents and the doc comments of the repository: links lead somewhere, and doc lines are sentences.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// First words that make a doc line a question or half a sentence.
const OPENERS: &[&str] = &["Who", "What", "Whose", "Where"];

/// Folders of documents that sources name by their path from the repository's root.
const PAGES: &[&str] = &["docs/decisions/", "docs/measurements/"];

/// Kinds of files that have comments.
const SOURCES: &[&str] = &["rs", "py", "sh", "toml", "c", "h", "cu", "ptx"];

#[test]
fn every_link_of_a_document_leads_to_a_file_and_a_heading() {
    let root = root();
    let mut broken = Vec::new();
    for (name, text) in texts(&root, |name| name.ends_with(".md")) {
        for (line, link) in links(&text) {
            if !leads_somewhere(&root.join(&name), &link) {
                broken.push(format!("{name}:{line}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_page_that_a_source_names_is_there() {
    let root = root();
    let is_source = |name: &str| {
        name == ".ci/run" || SOURCES.iter().any(|kind| Path::new(name).extension().is_some_and(|is| is == *kind))
    };
    let mut missing = Vec::new();
    for (name, text) in texts(&root, is_source) {
        for (number, line) in numbered(&text) {
            for page in named_pages(line) {
                if !root.join(page).exists() {
                    missing.push(format!("{name}:{number}: {page}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "these pages are not there:\n{}", missing.join("\n"));
}

#[test]
fn a_doc_line_begins_with_a_noun_or_a_verb() {
    let root = root();
    let mut found = Vec::new();
    for (name, text) in texts(&root, |name| name.ends_with(".rs")) {
        for (number, line) in first_doc_lines(&text) {
            if OPENERS.contains(&first_word(line)) {
                found.push(format!("{name}:{number}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "begin these doc lines with a noun or a verb:\n{}", found.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the repository that are wanted: their names from its root, and their text. What is built is left out.
fn texts(root: &Path, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let (mut folders, mut texts) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let entry = entry.expect("an entry of it");
            let (kind, path) = (entry.file_type().expect("its kind"), entry.path());
            let name = path.strip_prefix(root).expect("below the root").to_str().expect("a name in UTF-8").to_owned();
            let is_hidden = name.starts_with('.') && name != ".ci" && !name.starts_with(".ci/");
            if kind.is_dir() && !is_hidden && name != "dist" && entry.file_name() != "target" {
                folders.push(path);
            } else if kind.is_file() && wanted(&name) {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
                texts.push((name, text));
            }
        }
    }
    assert!(!texts.is_empty(), "there is nothing to check below {}", root.display());
    texts.sort();
    texts
}

/// Lines with their numbers, from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// The targets of a document's links within the repository, with their lines. Blocks of code have none.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut links, mut in_code) = (Vec::new(), false);
    for (number, line) in numbered(text) {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for after in line.split("](").skip(1) {
            let target = after.split(')').next().unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number, target.to_owned()));
            }
        }
    }
    links
}

/// Whether a link in `document` names a file or folder, and a heading of it if it asks for one.
fn leads_somewhere(document: &Path, link: &str) -> bool {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
    let target = match path {
        "" => document.to_owned(),
        _ => document.parent().expect("a folder").join(path),
    };
    match heading {
        None => target.exists(),
        Some(heading) => fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(heading)),
    }
}

/// The names by which links reach a document's headings: small letters, hyphens for spaces, no other signs.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(anchor).collect()
}

/// The paths below [`PAGES`] that a line names.
fn named_pages(line: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let starts = PAGES.iter().flat_map(|folder| line.match_indices(folder));
    let pages = starts.map(|(at, _)| {
        let rest = &line[at..];
        rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())].trim_end_matches('.')
    });
    pages.collect()
}

/// The first line of each block of doc comments, with its number and without the sign.
fn first_doc_lines(text: &str) -> Vec<(usize, &str)> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for (number, line) in numbered(text) {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(doc) = doc.filter(|_| !inside) {
            lines.push((number, doc.trim_start()));
        }
        inside = doc.is_some();
    }
    lines
}

fn first_word(line: &str) -> &str {
    line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}
