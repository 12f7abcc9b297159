//! Modules: PTX text, of which the kernels' names and behaviours are read.

use super::handles::Handles;
use super::kernels::Behaviour;
use super::{Outcome, current, init::driver, lock, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, Mutex};

/// A loaded module.
pub(crate) struct Module {
    kernels: Vec<Entry>,
    /// The handles given out so far, as a kernel has one.
    functions: Mutex<BTreeMap<String, CUfunction>>,
}

/// A kernel.
pub(crate) struct Function {
    /// What it does. A kernel whose PTX does not say can be looked up, not run.
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
const CUDA_ERROR_INVALID_PTX: CUresult = 218;

static MODULES: Handles<CUmodule, Module> = Handles::new();
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

fn load(module: *mut CUmodule, image: *const c_void) -> Outcome {
    current::context()?;
    if module.is_null() || image.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: an image is at least as long as the magic of the binary formats; PTX ends with a NUL at the latest there
    // or is longer, and the comparison stops at the first byte that differs.
    let is_binary = unsafe { starts_with(image.cast(), b"\x7fELF") || starts_with(image.cast(), b"\x50\xed\x55\xba") };
    if is_binary {
        return Err(CUDA_ERROR_INVALID_IMAGE);
    }
    // SAFETY: cuda.h demands that PTX ends with a NUL.
    let text = unsafe { CStr::from_ptr(image.cast()) };
    let text = text.to_str().map_err(|_| CUDA_ERROR_INVALID_IMAGE)?;
    if !text.contains(".version") {
        return Err(CUDA_ERROR_INVALID_IMAGE);
    }
    let kernels = entries(text).map_err(|unknown| {
        eprintln!(
            "simgpu: no kernel can behave as `{unknown}`, which a module asks for; see README.md for those that can"
        );
        CUDA_ERROR_INVALID_PTX
    })?;
    let handle = MODULES.add(Arc::new(Module { kernels, functions: Mutex::default() }));
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(module, handle) }
}

/// Whether an image begins with `magic`; looks no further than the first difference.
///
/// # Safety
/// `image` has as many readable bytes as agree with `magic`, and one more.
unsafe fn starts_with(image: *const u8, magic: &[u8]) -> bool {
    // SAFETY: `all` stops at the first difference, so the function's contract covers each byte read.
    magic.iter().enumerate().all(|(index, &byte)| unsafe { image.add(index).read() } == byte)
}

export! {
    fn cuModuleLoadData(module: *mut CUmodule, image: *const c_void) {
        load(module, image)
    }

    fn cuModuleLoadDataEx(
        module: *mut CUmodule,
        image: *const c_void,
        _count: c_uint,
        _options: *mut c_int,
        _values: *mut *mut c_void,
    ) {
        load(module, image)
    }

    fn cuModuleUnload(module: CUmodule) {
        current::context()?;
        let module = MODULES.remove(module)?;
        for &handle in lock(&module.functions).values() {
            // Kernels that are queued keep their function themselves.
            let _ = FUNCTIONS.remove(handle);
        }
        Ok(())
    }

    fn cuModuleGetFunction(function: *mut CUfunction, module: CUmodule, name: *const c_char) {
        current::context()?;
        let module = MODULES.get(module)?;
        if function.is_null() || name.is_null() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so a NUL-terminated name, as cuda.h demands.
        let name = unsafe { CStr::from_ptr(name) }.to_str().map_err(|_| CUDA_ERROR_NOT_FOUND)?;
        let entry = module.kernels.iter().find(|known| known.name == name).ok_or(CUDA_ERROR_NOT_FOUND)?;
        let mut functions = lock(&module.functions);
        let handle = *functions
            .entry(name.to_owned())
            .or_insert_with(|| FUNCTIONS.add(Arc::new(Function { behaviour: entry.behaviour })));
        // SAFETY: not null, and a place for the answer, as cuda.h demands.
        unsafe { put(function, handle) }
    }

    fn cuFuncSetAttribute(function: CUfunction, _attribute: c_int, _value: c_int) {
        current::context()?;
        FUNCTIONS.get(function).map(drop)
    }

    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: CUfunction) {
        current::context()?;
        FUNCTIONS.get(function)?;
        let compute = driver()?.machine.spec().compute;
        let version = (compute.0 * 10 + compute.1) as c_int;
        let found = match attribute {
            0 => 1024,                  // MAX_THREADS_PER_BLOCK
            4 => 32,                    // NUM_REGS
            5 | 6 => version,           // PTX_VERSION, BINARY_VERSION
            8 => 48 << 10,              // MAX_DYNAMIC_SHARED_SIZE_BYTES
            _ => 0,
        };
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(value, found) }
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
