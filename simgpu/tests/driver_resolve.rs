//! `cuGetProcAddress`: names, versions, default streams.

use abi::cuda::*;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::OnceLock;

type GetProcAddress = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64) -> CUresult;
type GetProcAddressV2 = unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64, *mut c_int) -> CUresult;

/// The version of the simulated driver.
const DRIVER: c_int = 13000;
const RECORDED: &str = include_str!("data/proc_address_580.tsv");

/// The address of a symbol of the library, as programs load it.
fn symbol(name: &str) -> *mut c_void {
    static LIBRARY: OnceLock<usize> = OnceLock::new();
    let library = *LIBRARY.get_or_init(|| {
        let path = std::env::current_exe().expect("a path").with_file_name("libcuda.so");
        let text = CString::new(path.into_os_string().into_encoded_bytes()).expect("no NUL");
        // SAFETY: the library was built with this test, and does nothing as it is loaded.
        let library = unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{text:?} is not there");
        library as usize
    });
    let text = CString::new(name).expect("no NUL");
    // SAFETY: the library stays loaded, and the name is NUL-terminated.
    let found = unsafe { libc::dlsym(library as *mut c_void, text.as_ptr()) };
    assert!(!found.is_null(), "{name} is not exported");
    found
}

fn find(name: &CStr, version: c_int, flags: u64) -> (CUresult, *mut c_void, c_int) {
    let (mut found, mut status) = (core::ptr::dangling_mut(), -1);
    // SAFETY: the library's function of that name has this type.
    let resolve = unsafe { std::mem::transmute::<*mut c_void, GetProcAddressV2>(symbol("cuGetProcAddress_v2")) };
    // SAFETY: the name ends with a NUL, and the others are places for the answers.
    let code = unsafe { resolve(name.as_ptr(), &mut found, version, flags, &mut status) };
    (code, found, status)
}

#[test]
fn every_name_means_what_driver_580_means_by_it() {
    let mut compared = 0;
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let name = CString::new(fields.next().expect("a name")).expect("no NUL");
        let (legacy, per_thread) = (fields.next().expect("answers"), fields.next().expect("answers"));
        for (flags, answers) in [(0, legacy), (1, legacy), (2, per_thread)] {
            let answers: Vec<(c_int, &str)> = answers
                .split(' ')
                .map(|answer| answer.split_once(':').expect("since:symbol"))
                .map(|(since, symbol)| (since.parse().expect("a version"), symbol))
                .collect();
            for (index, &(since, answer)) in answers.iter().enumerate() {
                let last = answers.get(index + 1).map_or(DRIVER, |next| next.0 - 1);
                let expected = match answer {
                    "-" => (CUDA_SUCCESS, core::ptr::null_mut(), 2),
                    name => (CUDA_SUCCESS, symbol(name), 0),
                };
                for version in [since, last] {
                    assert_eq!(find(&name, version, flags), expected, "{name:?} of {version} with {flags}: {answer}");
                    compared += 1;
                }
            }
            let above = find(&name, DRIVER + 10, flags);
            assert_eq!(above, (CUDA_ERROR_INVALID_VALUE, core::ptr::null_mut(), -1), "{name:?}");
        }
    }
    assert!(compared > 2_000, "{compared}");
}

#[test]
fn no_two_names_share_an_address() {
    let mut seen = std::collections::BTreeMap::new();
    let symbols = RECORDED.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.split(['\t', ' ']));
    for name in symbols.filter_map(|answer| answer.split_once(':')).map(|(_, name)| name).filter(|name| *name != "-") {
        let other = seen.insert(symbol(name), name);
        assert!(other.is_none_or(|other| other == name), "{name} is {other:?}");
    }
}

#[test]
fn what_is_not_there_is_told_in_the_status() {
    assert_eq!(find(c"cuNothing", 13000, 0), (CUDA_SUCCESS, core::ptr::null_mut(), 1));
    assert_eq!(find(c"cuMemAlloc_v2", 13000, 0), (CUDA_SUCCESS, core::ptr::null_mut(), 1));
    assert_eq!(find(c"cuInit", 13000, 4).0, CUDA_ERROR_INVALID_VALUE);
    let mut found = core::ptr::dangling_mut();
    // SAFETY: the library's function of that name has this type.
    let resolve = unsafe { std::mem::transmute::<*mut c_void, GetProcAddress>(symbol("cuGetProcAddress")) };
    // SAFETY: the name ends with a NUL, and the other is a place for the answer.
    let old = unsafe { resolve(c"cuNothing".as_ptr(), &mut found, 12000, 0) };
    assert_eq!((old, found), (CUDA_ERROR_NOT_FOUND, core::ptr::null_mut()), "the older form has no status");
}
