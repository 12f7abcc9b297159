//! Modules: PTX text, of which the kernels' names are read.

use super::handles::Handles;
use super::kernels::Builtin;
use super::{Outcome, current, init::driver, lock, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::{Arc, Mutex};

/// A loaded module.
pub(crate) struct Module {
    kernels: Vec<String>,
    /// The handles given out so far, as a kernel has one.
    functions: Mutex<BTreeMap<String, CUfunction>>,
}

/// A kernel.
pub(crate) struct Function {
    /// What it does; nothing is known of other kernels than the built-in ones, which can be looked up but not run.
    pub(crate) builtin: Option<Builtin>,
}

static MODULES: Handles<CUmodule, Module> = Handles::new();
pub(crate) static FUNCTIONS: Handles<CUfunction, Function> = Handles::new();

/// The names of the kernels in a PTX text.
fn entries(text: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || c == '%';
    let name = |rest: &str| {
        let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        (end > 0).then(|| rest[..end].to_owned())
    };
    text.split(".entry").skip(1).filter_map(name).collect()
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
    let handle = MODULES.add(Arc::new(Module { kernels: entries(text), functions: Mutex::default() }));
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
        if !module.kernels.iter().any(|known| known == name) {
            return Err(CUDA_ERROR_NOT_FOUND);
        }
        let mut functions = lock(&module.functions);
        let handle = *functions
            .entry(name.to_owned())
            .or_insert_with(|| FUNCTIONS.add(Arc::new(Function { builtin: Builtin::named(name) })));
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
    use super::entries;

    #[test]
    fn kernels_are_found_by_their_entry() {
        let text = ".version 8.0\n.visible .entry a_1(\n.param .u64 p)\n{ ret; }\n.func x(){}\n.entry\tb () {ret;}";
        assert_eq!(entries(text), ["a_1", "b"]);
        assert!(entries(".version 8.0 .entryless").is_empty());
    }
}
