//! Modules: PTX text, of which the kernels' names and behaviours are read.

use super::handles::Handles;
use super::kernels::Behaviour;
use super::{Outcome, lock};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A loaded module.
pub(crate) struct Module {
    kernels: Vec<Entry>,
    /// The handles given out so far, as a kernel has one.
    functions: Mutex<BTreeMap<String, CUfunction>>,
}

/// A kernel.
pub(crate) struct Function {
    /// Its behaviour. A kernel whose PTX does not say can be looked up, not run.
    pub(crate) behaviour: Option<Behaviour>,
}

/// A kernel as its PTX text has it.
#[derive(Debug, PartialEq)]
struct Entry {
    name: String,
    behaviour: Option<Behaviour>,
}

/// The beginning of the comment that says how the kernel after it behaves.
const MARK: &str = "simgpu:";
/// cuda.h: `CUDA_ERROR_INVALID_PTX`.
pub(crate) const CUDA_ERROR_INVALID_PTX: CUresult = 218;

pub(crate) static MODULES: Handles<CUmodule, Module> = Handles::new();
pub(crate) static FUNCTIONS: Handles<CUfunction, Function> = Handles::new();

/// The kernels in a PTX text, or a behaviour that it asks for and that there is not.
fn entries(text: &str) -> Result<Vec<Entry>, &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || c == '%';
    let name = |rest: &str| {
        let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        (end > 0).then(|| rest[..end].to_owned())
    };
    let (mut entries, mut behaviour) = (Vec::new(), None);
    for line in text.lines() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        for name in code.split(".entry").skip(1).filter_map(name) {
            entries.push(Entry { name, behaviour: behaviour.take() });
        }
        if let Some(wanted) = comment.trim_start().strip_prefix(MARK) {
            behaviour = Some(Behaviour::named(wanted.trim()).ok_or(wanted.trim())?);
        }
    }
    Ok(entries)
}

impl Module {
    /// Reads a PTX text.
    pub(crate) fn read(text: &str) -> Outcome<Arc<Self>> {
        if !text.contains(".version") {
            return Err(CUDA_ERROR_INVALID_IMAGE);
        }
        let kernels = entries(text).map_err(|unknown| {
            eprintln!(
                "simgpu: no kernel can behave as `{unknown}`, which a module asks for; see README.md for those that can"
            );
            CUDA_ERROR_INVALID_PTX
        })?;
        Ok(Arc::new(Module { kernels, functions: Mutex::default() }))
    }

    /// The handle of a kernel.
    pub(crate) fn function(&self, name: &str) -> Outcome<CUfunction> {
        let entry = self.kernels.iter().find(|known| known.name == name).ok_or(CUDA_ERROR_NOT_FOUND)?;
        let add = || FUNCTIONS.add(Arc::new(Function { behaviour: entry.behaviour }));
        Ok(*lock(&self.functions).entry(name.to_owned()).or_insert_with(add))
    }

    /// Takes the handles of its kernels back; those that are queued keep their function themselves.
    pub(crate) fn unload(&self) {
        for &handle in lock(&self.functions).values() {
            let _ = FUNCTIONS.remove(handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, behaviour: Option<Behaviour>) -> Entry {
        Entry { name: name.to_owned(), behaviour }
    }

    #[test]
    fn kernels_are_found_by_their_entry() {
        let text = ".version 8.0\n.visible .entry a_1(\n.param .u64 p)\n{ ret; }\n.func x(){}\n.entry\tb () {ret;}";
        assert_eq!(entries(text), Ok(vec![entry("a_1", None), entry("b", None)]));
        assert_eq!(entries(".version 8.0 .entryless // .entry c()"), Ok(Vec::new()));
    }

    #[test]
    fn a_comment_says_how_the_next_kernel_behaves() {
        let text = "// simgpu: spin\n// It is slow.\n.entry a()\n{}\n.entry b()\n//simgpu:fill\n.entry c() {}";
        let found = [entry("a", Some(Behaviour::Spin)), entry("b", None), entry("c", Some(Behaviour::Fill))];
        assert_eq!(entries(text).as_deref(), Ok(&found[..]));
        assert_eq!(entries("// simgpu: dance\n.entry a()"), Err("dance"));
    }
}
