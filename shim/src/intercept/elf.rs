//! Reading the ELF objects that are loaded in this process (elf(5), dl_iterate_phdr(3)).
//!
//! The loader's own functions for this (`dladdr`, `dlsym`) take its lock, which a thread in a library's constructor
//! holds while it waits for the driver; inside the driver's ioctl they could deadlock. Going through the objects takes
//! only the lock of their list.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ops::{ControlFlow, Range};

/// A loaded object. Valid while [`each`] visits it.
pub(crate) struct Object<'a> {
    info: &'a libc::dl_phdr_info,
}

/// The number of loads of objects since the process began (`dlpi_adds`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

/// Visits the loaded objects until told to stop, the program itself first.
pub(crate) fn each<F: FnMut(&Object<'_>) -> ControlFlow<()>>(mut visit: F) {
    unsafe extern "C" fn step<F: FnMut(&Object<'_>) -> ControlFlow<()>>(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        visit: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid description, and the pointer given to dl_iterate_phdr below.
        let (object, visit) = unsafe { (Object { info: &*info }, &mut *visit.cast::<F>()) };
        c_int::from(visit(&object).is_break())
    }
    // SAFETY: `step` fits the pointer that it is given; a panic in it aborts, as in every C function.
    unsafe { libc::dl_iterate_phdr(Some(step::<F>), std::ptr::from_mut(&mut visit).cast()) };
}

/// The present generation of the list of objects.
pub(crate) fn generation() -> Generation {
    let mut generation = Generation(0);
    each(|object| {
        generation = Generation(object.info.dlpi_adds);
        ControlFlow::Break(())
    });
    generation
}

/// The parts of the dynamic section that are used here.
#[derive(Default)]
struct Dynamic<'a> {
    object: PhantomData<&'a ()>,
    symbols: usize,
    strings: usize,
    gnu_hash: usize,
    soname: Option<usize>,
    needed: Vec<usize>,
    /// Address and size in bytes of the tables of relocations.
    relocations: [(usize, usize); 2],
}

const DT_NULL: i64 = 0;
const DT_NEEDED: i64 = 1;
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_SONAME: i64 = 14;
const DT_JMPREL: i64 = 23;
const DT_GNU_HASH: i64 = 0x6fff_fef5;

/// Relocations that put a symbol's address into a word (psABI x86-64: `R_X86_64_64`, `_GLOB_DAT`, `_JUMP_SLOT`).
const ADDRESSES: [u64; 3] = [1, 6, 7];

#[repr(C)]
struct Entry {
    tag: i64,
    value: u64,
}

impl Object<'_> {
    /// The path under which it was loaded; empty for the program itself.
    pub(crate) fn path(&self) -> &CStr {
        if self.info.dlpi_name.is_null() {
            return c"";
        }
        // SAFETY: the loader keeps a NUL-terminated path.
        unsafe { CStr::from_ptr(self.info.dlpi_name) }
    }

    fn base(&self) -> usize {
        self.info.dlpi_addr as usize
    }

    fn segments(&self) -> &[libc::Elf64_Phdr] {
        if self.info.dlpi_phdr.is_null() {
            return &[];
        }
        // SAFETY: the loader gives so many program headers.
        unsafe { std::slice::from_raw_parts(self.info.dlpi_phdr, self.info.dlpi_phnum.into()) }
    }

    /// The addresses of its code.
    pub(crate) fn code(&self) -> impl Iterator<Item = Range<usize>> {
        let executable = |it: &&libc::Elf64_Phdr| it.p_type == libc::PT_LOAD && it.p_flags & libc::PF_X != 0;
        self.segments().iter().filter(executable).map(|it| {
            let start = self.base() + it.p_vaddr as usize;
            start..start + it.p_memsz as usize
        })
    }

    fn dynamic(&self) -> Option<Dynamic<'_>> {
        let section = self.segments().iter().find(|it| it.p_type == libc::PT_DYNAMIC)?;
        let mut entry = (self.base() + section.p_vaddr as usize) as *const Entry;
        // glibc turns most of these values into addresses in place; in read-only objects (the vDSO) they stay offsets.
        let place = |value: u64| match value as usize {
            offset if offset < self.base() => self.base() + offset,
            address => address,
        };
        let mut dynamic = Dynamic::default();
        loop {
            // SAFETY: the section is mapped and ends with an entry of DT_NULL.
            let Entry { tag, value } = unsafe { entry.read() };
            match tag {
                DT_NULL => break,
                DT_NEEDED => dynamic.needed.push(value as usize),
                DT_SONAME => dynamic.soname = Some(value as usize),
                DT_STRTAB => dynamic.strings = place(value),
                DT_SYMTAB => dynamic.symbols = place(value),
                DT_GNU_HASH => dynamic.gnu_hash = place(value),
                DT_RELA => dynamic.relocations[0].0 = place(value),
                DT_RELASZ => dynamic.relocations[0].1 = value as usize,
                DT_JMPREL => dynamic.relocations[1].0 = place(value),
                DT_PLTRELSZ => dynamic.relocations[1].1 = value as usize,
                _ => {}
            }
            // SAFETY: as above: the end was not reached.
            entry = unsafe { entry.add(1) };
        }
        (dynamic.strings != 0 && dynamic.symbols != 0).then_some(dynamic)
    }

    /// Whether it calls itself so.
    pub(crate) fn is_called(&self, name: &CStr) -> bool {
        self.dynamic().is_some_and(|dynamic| dynamic.soname.is_some_and(|at| dynamic.string(at) == name))
    }

    /// Whether it asks for the library of this name.
    pub(crate) fn needs(&self, name: &CStr) -> bool {
        self.dynamic().is_some_and(|dynamic| dynamic.needed.iter().any(|&at| dynamic.string(at) == name))
    }

    /// The exported function that begins at an address.
    pub(crate) fn function_at(&self, address: usize) -> Option<&CStr> {
        let dynamic = self.dynamic()?;
        let count = dynamic.count_symbols()?;
        let symbol = (0..count)
            .map(|index| dynamic.symbol(index))
            .find(|symbol| symbol.st_shndx != 0 && self.base() + symbol.st_value as usize == address)?;
        Some(dynamic.string(symbol.st_name as usize))
    }

    /// Visits the words of this object that hold the address of somebody else's symbol: its name and the address.
    pub(crate) fn bindings(&self, mut visit: impl FnMut(&CStr, usize)) {
        let Some(dynamic) = self.dynamic() else { return };
        for (address, bytes) in dynamic.relocations {
            if address == 0 {
                continue;
            }
            // SAFETY: the section says so.
            let table = unsafe {
                std::slice::from_raw_parts(address as *const libc::Elf64_Rela, bytes / size_of::<libc::Elf64_Rela>())
            };
            for relocation in table.iter().filter(|it| ADDRESSES.contains(&(it.r_info & 0xffff_ffff))) {
                let symbol = dynamic.symbol((relocation.r_info >> 32) as usize);
                if symbol.st_shndx == 0 && symbol.st_name != 0 {
                    let word = (self.base() + relocation.r_offset as usize) as *const usize;
                    // SAFETY: the loader has relocated this word of the object.
                    visit(dynamic.string(symbol.st_name as usize), unsafe { word.read_unaligned() });
                }
            }
        }
    }
}

impl<'a> Dynamic<'a> {
    fn string(&self, at: usize) -> &'a CStr {
        // SAFETY: an offset into the table of NUL-terminated strings.
        unsafe { CStr::from_ptr((self.strings + at) as *const c_char) }
    }

    fn symbol(&self, index: usize) -> &'a libc::Elf64_Sym {
        // SAFETY: the index comes from the object's own tables.
        unsafe { &*(self.symbols as *const libc::Elf64_Sym).add(index) }
    }

    /// The number of symbols, which only the hash table tells (System V ABI, GNU hash section): the highest index
    /// that a bucket begins with, and on to the end of its chain.
    fn count_symbols(&self) -> Option<usize> {
        if self.gnu_hash == 0 {
            return None;
        }
        let words = self.gnu_hash as *const u32;
        // SAFETY: the header of four words, the Bloom filter of 64-bit words, the buckets and the chains, as the
        // format has them.
        unsafe {
            let (buckets, first, bloom) = (words.read() as usize, words.add(1).read(), words.add(2).read() as usize);
            let bucket = words.add(4 + 2 * bloom);
            let mut last = (0..buckets).map(|i| bucket.add(i).read()).max().filter(|&index| index >= first)?;
            let chain = bucket.add(buckets);
            while chain.add((last - first) as usize).read() & 1 == 0 {
                last += 1;
            }
            Some(last as usize + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libc_object<T>(look: impl Fn(&Object<'_>) -> T) -> T {
        let mut seen = None;
        each(|object| {
            if object.is_called(c"libc.so.6") {
                seen = Some(look(object));
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        seen.expect("every program here has a C library")
    }

    #[test]
    fn a_function_is_found_by_its_address() {
        // SAFETY: a look-up by a NUL-terminated name.
        let getppid = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getppid".as_ptr()) } as usize;
        libc_object(|object| {
            assert!(object.code().any(|code| code.contains(&getppid)));
            assert_eq!(object.function_at(getppid), Some(c"getppid"));
            assert_eq!(object.function_at(getppid + 1), None);
        });
    }

    #[test]
    fn what_the_program_calls_is_among_its_bindings() {
        // SAFETY: as above.
        let iterate = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"dl_iterate_phdr".as_ptr()) } as usize;
        let mut bound = Vec::new();
        each(|object| {
            assert!(object.needs(c"libc.so.6"), "the first object is the program itself");
            object.bindings(|name, address| {
                if name == c"dl_iterate_phdr" {
                    bound.push(address);
                }
            });
            ControlFlow::Break(())
        });
        assert!(bound.contains(&iterate), "{bound:x?} has {iterate:x}");
    }

    #[test]
    fn loading_a_library_is_noticed() {
        let before = generation();
        assert_eq!(before, generation());
        // SAFETY: a library without side effects that nothing here has loaded.
        let library = unsafe { libc::dlopen(c"libthread_db.so.1".as_ptr(), libc::RTLD_LAZY) };
        if !library.is_null() {
            assert_ne!(before, generation());
        }
    }
}
