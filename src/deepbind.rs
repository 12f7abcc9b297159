//! The second library, for programs that bind deeply.
//!
//! A library that is loaded with `RTLD_DEEPBIND` looks into its own dependencies before it looks at what is preloaded,
//! and so calls the driver past the shim. The way to be there first is to be one of those dependencies: a shared object
//! that is called `libcuda.so.1`, has no code, and depends on the shim and then on the real driver. Where it is preloaded,
//! the linker takes it for the driver by its name (`DT_SONAME`), and a look-up through it goes to its dependencies in
//! their order. It holds no list of functions, so no driver is too new for it; it is made for the paths of the
//! libraries when it is needed.

use crate::private_folder::{self, FolderError};
use object::elf;
use object::write::elf::{FileHeader, ProgramHeader, Writer};
use std::ffi::{CStr, OsString};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const DRIVER: &CStr = c"libcuda.so.1";

/// The second library cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DeepBindError {
    /// There is no driver to lead to.
    #[error("there is no libcuda.so.1 here to lead to: is NVIDIA's driver installed?")]
    NoDriver,
    /// There is no place for it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The system refused.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The path of a `libcuda.so.1` that leads to `shim` and then to `driver`; made if it is not there yet.
pub fn library(shim: &Path, driver: &Path) -> Result<PathBuf, DeepBindError> {
    let runtime = private_folder::plain_runtime_folder();
    let mut hasher = DefaultHasher::new();
    (shim, driver).hash(&mut hasher);
    let folder = runtime.join(format!("deepbind-{:016x}", hasher.finish()));
    private_folder::make_private(&runtime)?;
    private_folder::make_private(&folder)?;
    let path = folder.join("libcuda.so.1");
    let image = image(shim, driver);
    if fs::read(&path).is_ok_and(|found| found == image) {
        return Ok(path);
    }
    // Under another name first, so that nobody loads half of it.
    let unfinished = folder.join(format!("unfinished-{}", std::process::id()));
    let written = fs::write(&unfinished, image).and_then(|()| fs::rename(&unfinished, &path));
    written.map_err(|source| DeepBindError::Io { path: path.clone(), source })?;
    Ok(path)
}

/// The driver's library, as the loader finds it in this environment.
pub fn driver() -> Result<PathBuf, DeepBindError> {
    // SAFETY: loading the driver's library runs its constructors, which is what every CUDA program does; the handle and
    // the link map that it stands for stay valid, as it is not closed.
    unsafe {
        let handle = libc::dlopen(DRIVER.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL);
        if handle.is_null() {
            return Err(DeepBindError::NoDriver);
        }
        // link.h: `struct link_map` begins with the address and the path of the object.
        let mut map: *const (usize, *const libc::c_char) = std::ptr::null();
        if libc::dlinfo(handle, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) != 0 || map.is_null() {
            return Err(DeepBindError::NoDriver);
        }
        let path = OsString::from_vec(CStr::from_ptr((*map).1).to_bytes().to_vec());
        // Resolving links needs `readlink`, which a seccomp profile may refuse; the link leads to the same file.
        fs::canonicalize(&path).or_else(|_| std::path::absolute(&path)).map_err(|_| DeepBindError::NoDriver)
    }
}

/// The shared object: one segment with all of it, and a dynamic section with the three names.
fn image(shim: &Path, driver: &Path) -> Vec<u8> {
    let mut image = Vec::new();
    let mut writer = Writer::new(object::Endianness::Little, true, &mut image);
    writer.reserve_file_header();
    writer.reserve_program_headers(3);
    let name = writer.add_dynamic_string(DRIVER.to_bytes());
    let needed = [shim, driver].map(|path| writer.add_dynamic_string(path.as_os_str().as_bytes()));
    writer.reserve_null_dynamic_symbol_index();
    let symbols = writer.reserve_dynsym() as u64;
    let strings = writer.reserve_dynstr() as u64;
    let strings_len = writer.dynstr_len() as u64;
    const ENTRIES: usize = 8;
    let dynamic = writer.reserve_dynamic(ENTRIES) as u64;
    let len = writer.reserved_len() as u64;

    let header = FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_DYN,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: 0,
    };
    writer.write_file_header(&header).expect("a header without sections is always possible");
    writer.write_align_program_headers();
    // Writable, as the loader puts addresses into the dynamic section.
    let flags = elf::PF_R | elf::PF_W;
    for (kind, offset, size, align) in
        [(elf::PT_LOAD, 0, len, 4096), (elf::PT_DYNAMIC, dynamic, len - dynamic, 8), (elf::PT_GNU_STACK, 0, 0, 16)]
    {
        writer.write_program_header(&ProgramHeader {
            p_type: kind,
            p_flags: flags,
            p_offset: offset,
            p_vaddr: offset,
            p_paddr: offset,
            p_filesz: size,
            p_memsz: size,
            p_align: align,
        });
    }
    writer.write_null_dynamic_symbol();
    writer.write_dynstr();
    writer.write_align_dynamic();
    writer.write_dynamic_string(elf::DT_SONAME, name);
    for path in needed {
        writer.write_dynamic_string(elf::DT_NEEDED, path);
    }
    writer.write_dynamic(elf::DT_STRTAB, strings);
    writer.write_dynamic(elf::DT_STRSZ, strings_len);
    writer.write_dynamic(elf::DT_SYMTAB, symbols);
    writer.write_dynamic(elf::DT_SYMENT, 24);
    writer.write_dynamic(elf::DT_NULL, 0);
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::read::elf::{Dyn, ElfFile64, FileHeader as _, ProgramHeader as _};

    #[test]
    fn it_is_called_like_the_driver_and_leads_to_the_shim_and_then_to_the_driver() {
        let image = image(Path::new("/lib/libmissile.so"), Path::new("/lib/libcuda.so.580"));
        let file = ElfFile64::<object::Endianness>::parse(&*image).unwrap();
        let endian = file.endian();
        let segments = file.elf_header().program_headers(endian, &*image).unwrap();
        let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, &*image).unwrap()).unwrap();
        let value = |tag: u32| {
            let entry = dynamic.iter().find(|entry| entry.tag32(endian) == Some(tag)).unwrap();
            entry.d_val(endian) as usize
        };
        let strings = &image[value(elf::DT_STRTAB)..][..value(elf::DT_STRSZ)];
        let text = |at: usize| strings[at..].split(|&byte| byte == 0).next().unwrap();
        assert_eq!(text(value(elf::DT_SONAME)), b"libcuda.so.1");
        let needed: Vec<_> = dynamic
            .iter()
            .filter(|entry| entry.tag32(endian) == Some(elf::DT_NEEDED))
            .map(|entry| text(entry.d_val(endian) as usize))
            .collect();
        assert_eq!(needed, [&b"/lib/libmissile.so"[..], b"/lib/libcuda.so.580"]);
    }
}
