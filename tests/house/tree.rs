//! A crate's modules as its source has them: what each one holds, and which names it took from where.
//!
//! Code that is compiled for tests only (`#[cfg(test)]`) is left out.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Item, ItemMod, ItemUse, Lit, Meta, UseTree};

/// A path as it is written, such as `crate::memory::Pager`, and its line.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its words.
    pub words: Vec<String>,
    /// Its place.
    pub line: usize,
}

/// A module.
#[derive(Debug, Default)]
pub struct Module {
    /// Its path in the crate; nothing for the root.
    pub path: Vec<String>,
    /// The file that it is in.
    pub file: PathBuf,
    /// The names of what it defines, without its modules.
    pub items: HashSet<String>,
    /// The names that it took from elsewhere, and from where.
    pub taken: HashMap<String, Written>,
    /// The modules that it took every name from.
    pub taken_whole: Vec<Written>,
    /// Names that it uses beside that.
    pub named: Vec<Written>,
}

impl Module {
    /// Its path in the crate as it is written.
    pub fn name(&self) -> String {
        if self.path.is_empty() { "crate".to_owned() } else { self.path.join("::") }
    }
}

/// All modules of a crate.
#[derive(Debug, Default)]
pub struct Tree {
    /// By their paths.
    pub modules: HashMap<Vec<String>, Module>,
}

impl Tree {
    /// Reads a crate from the file of its root.
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree::default();
        let folder = root.parent().expect("a file is in a folder");
        tree.read_file(root, folder, Vec::new());
        tree
    }

    /// Reads a module's file. The files of its modules are in `folder`.
    fn read_file(&mut self, file: &Path, folder: &Path, path: Vec<String>) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add(file, folder, path, &parsed.items);
    }

    fn add(&mut self, file: &Path, folder: &Path, path: Vec<String>, items: &[Item]) {
        let mut module = Module { path: path.clone(), file: file.to_owned(), ..Module::default() };
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            match item {
                Item::Mod(inner) => self.add_inner(file, folder, &path, inner),
                other => {
                    module.items.extend(defined(other));
                    Reader { module: &mut module }.visit_item(other);
                }
            }
        }
        self.modules.insert(path, module);
    }

    fn add_inner(&mut self, file: &Path, folder: &Path, outer: &[String], inner: &ItemMod) {
        let name = inner.ident.to_string();
        let path = [outer, std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = &inner.content {
            return self.add(file, &folder.join(name), path, items);
        }
        if let Some(elsewhere) = path_attribute(&inner.attrs) {
            let elsewhere = file.parent().expect("a file is in a folder").join(elsewhere);
            let folder = elsewhere.parent().expect("a file is in a folder").to_owned();
            return self.read_file(&elsewhere, &folder, path);
        }
        let (beside, within) = (folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs"));
        let file = if beside.exists() { beside } else { within };
        self.read_file(&file, &folder.join(name), path);
    }
}

/// Notes what a module takes and names.
struct Reader<'a> {
    module: &'a mut Module,
}

impl Reader<'_> {
    fn take(&mut self, before: &[String], tree: &UseTree) {
        let under = |word: &syn::Ident| [before, &[word.to_string()]].concat();
        let line = |word: &syn::Ident| word.span().start().line;
        match tree {
            UseTree::Path(path) => self.take(&under(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => {
                let own_name = before.last().expect("`self` follows something").clone();
                let written = Written { words: before.to_vec(), line: line(&name.ident) };
                self.module.taken.insert(own_name, written);
            }
            UseTree::Name(name) => {
                let written = Written { words: under(&name.ident), line: line(&name.ident) };
                self.module.taken.insert(name.ident.to_string(), written);
            }
            UseTree::Rename(rename) => {
                let words = if rename.ident == "self" { before.to_vec() } else { under(&rename.ident) };
                let written = Written { words, line: line(&rename.ident) };
                self.module.taken.insert(rename.rename.to_string(), written);
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.module.taken_whole.push(Written { words: before.to_vec(), line });
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.take(before, tree)),
        }
    }

    /// Notes the paths in the text of a macro, or in what a macro is given.
    fn read_tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree::{Group, Ident, Punct};
        let tokens: Vec<_> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(Punct(punct)) if punct.as_char() == sign);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                Group(group) => self.read_tokens(group.stream()),
                Ident(first) => {
                    let mut words = vec![first.to_string()];
                    while let (true, true, Some(Ident(word))) = (is(at + 1, ':'), is(at + 2, ':'), tokens.get(at + 3)) {
                        words.push(word.to_string());
                        at += 3;
                    }
                    self.module.named.push(Written { words, line: first.span().start().line });
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.take(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let words = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let line = path.segments[0].ident.span().start().line;
            self.module.named.push(Written { words, line });
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.read_tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    // Whom something is visible to, and what is made of it, imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Whether something is compiled for tests only: under `cfg(test)`, or `cfg(all(test, …))`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_it = |list: &syn::MetaList| {
        let condition = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    };
    attributes.iter().any(|attribute| matches!(&attribute.meta, Meta::List(list) if is_it(list)))
}

/// The file that `#[path = "…"]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(it) => &it.attrs,
        Item::Enum(it) => &it.attrs,
        Item::Fn(it) => &it.attrs,
        Item::ForeignMod(it) => &it.attrs,
        Item::Impl(it) => &it.attrs,
        Item::Macro(it) => &it.attrs,
        Item::Mod(it) => &it.attrs,
        Item::Static(it) => &it.attrs,
        Item::Struct(it) => &it.attrs,
        Item::Trait(it) => &it.attrs,
        Item::Type(it) => &it.attrs,
        Item::Union(it) => &it.attrs,
        Item::Use(it) => &it.attrs,
        _ => &[],
    }
}

/// The name that an item gives itself.
fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(it) => &it.ident,
        Item::Enum(it) => &it.ident,
        Item::Fn(it) => &it.sig.ident,
        Item::Macro(it) => it.ident.as_ref()?,
        Item::Static(it) => &it.ident,
        Item::Struct(it) => &it.ident,
        Item::Trait(it) => &it.ident,
        Item::Type(it) => &it.ident,
        Item::Union(it) => &it.ident,
        _ => return None,
    };
    Some(name.to_string())
}
