//! The cost of a hook: driver calls with and without it, side by side in one governed process.
//!
//! `cargo bench --bench hooks` measures on the simulated H200. The program can be taken elsewhere: `hooks --missile PATH`
//! says which `missile` governs it, `--gpu` takes the machine's own GPU in place of a simulated one.
//!
//! The bare function is the one that the C library's own `dlsym` finds in the driver's library, the governed one is what
//! the program's `dlsym` answers. Batches of both take turns; reported are medians, and the median of the differences
//! between neighbouring batches, which drifts of the machine do not touch. Functions of the driver take from some ten
//! nanoseconds (`cuCtxSetCurrent`) to microseconds, so look at the column of what is added.

use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

/// Set in the process that measures.
const INSIDE: &str = "MISSILE_BENCH_INSIDE";
const ROUNDS: usize = 2000;
const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::var_os(INSIDE).is_some() {
        return measure();
    }
    let mut missile = PathBuf::from(env!("CARGO_BIN_EXE_missile"));
    let mut simulated = true;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--missile" => missile = arguments.next().ok_or("--missile needs a path")?.into(),
            "--gpu" => simulated = false,
            // Cargo's own.
            "--bench" => {}
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    govern(&missile, simulated)
}

/// Runs this program again as a tenant, with an arbiter and a table of its own.
fn govern(missile: &PathBuf, simulated: bool) -> Result<(), Box<dyn Error>> {
    // The driver registers memory of a tmpfs only.
    let folder = tempfile::Builder::new().prefix("missile-bench").tempdir_in("/dev/shm")?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(missile);
        command.args(arguments).env("XDG_RUNTIME_DIR", folder.path()).env("XDG_DATA_HOME", folder.path());
        command
    };
    let sim: &[&str] = if simulated { &["--sim", "h200"] } else { &[] };
    let run = |mut command: Command| -> Result<(), Box<dyn Error>> {
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
    };
    let mut probe = command(&["probe"]);
    probe.args(sim).stdout(Stdio::null());
    run(probe)?;
    let _arbiter = Arbiter(command(&["up", "--foreground"]).stdout(Stdio::null()).spawn()?);
    while !command(&["top", "--once"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut tenant = command(&["run"]);
    tenant.args(sim).arg("--").arg(std::env::current_exe()?).env(INSIDE, "1");
    run(tenant)
}

struct Arbiter(Child);

impl Drop for Arbiter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A driver function, bare and governed.
struct Pair {
    bare: *mut c_void,
    governed: *mut c_void,
}

/// The signature of `dlsym`.
type LookUp = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

struct Driver {
    library: *mut c_void,
    /// The C library's `dlsym`, which nobody can stand before.
    look_up: LookUp,
}

impl Driver {
    fn load() -> Result<Driver, Box<dyn Error>> {
        // SAFETY: plain look-ups of NUL-terminated names; the address found is the function of that type.
        unsafe {
            let library = libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_NOW);
            let own = [c"GLIBC_2.34", c"GLIBC_2.2.5"]
                .into_iter()
                .map(|version: &CStr| libc::dlvsym(libc::RTLD_NEXT, c"dlsym".as_ptr(), version.as_ptr()))
                .find(|found| !found.is_null());
            let look_up = std::mem::transmute::<*mut c_void, LookUp>(own.ok_or("the C library has no dlsym")?);
            if library.is_null() { Err("there is no driver".into()) } else { Ok(Driver { library, look_up }) }
        }
    }

    fn pair(&self, name: &str) -> Pair {
        let c_name = CString::new(name).expect("no NUL in a name");
        // SAFETY: the handle is the driver's, the name NUL-terminated.
        let (bare, governed) =
            unsafe { ((self.look_up)(self.library, c_name.as_ptr()), libc::dlsym(self.library, c_name.as_ptr())) };
        assert!(!bare.is_null() && !governed.is_null(), "the driver has no {name}");
        Pair { bare, governed }
    }
}

macro_rules! call {
    ($function:expr, ($($argument:expr => $ty:ty),*)) => {{
        // SAFETY: the type is that of the function in cuda.h, and the arguments are live.
        let code = unsafe {
            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($ty),*) -> c_uint>($function)($($argument),*)
        };
        assert_eq!(code, 0, "{}", stringify!($function));
    }};
}

/// Times batches of calls through both functions in turn. `rest` runs between batches and is not timed.
fn compare(name: &str, pair: &Pair, mut call: impl FnMut(*mut c_void, usize), mut rest: impl FnMut()) {
    assert_ne!(pair.bare, pair.governed, "{name} is not governed");
    let mut batch = |function| {
        let start = Instant::now();
        (0..BATCH).for_each(|index| call(function, index));
        let each = start.elapsed().as_secs_f64() * 1e9 / BATCH as f64;
        rest();
        each
    };
    let (mut bare, mut governed, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (a, b) = if round % 2 == 0 {
            let first = batch(pair.bare);
            (first, batch(pair.governed))
        } else {
            let first = batch(pair.governed);
            (batch(pair.bare), first)
        };
        bare.push(a);
        governed.push(b);
        added.push(b - a);
    }
    println!("{name:<24} {:>10.1} {:>10.1} {:>10.1}", median(bare), median(governed), median(added));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure() -> Result<(), Box<dyn Error>> {
    let driver = Driver::load()?;
    let find = |name: &str| driver.pair(name).governed;
    let (mut context, mut module, mut kernel, mut stream) = (null_mut(), null_mut(), null_mut(), null_mut());
    call!(find("cuInit"), (0 => c_uint));
    call!(find("cuDevicePrimaryCtxRetain"), (&mut context => *mut *mut c_void, 0 => c_int));
    call!(find("cuCtxSetCurrent"), (context => *mut c_void));
    let image = CString::new(include_str!("../examples/fill.ptx"))?;
    call!(find("cuModuleLoadData"), (&mut module => *mut *mut c_void, image.as_ptr().cast() => *const c_void));
    call!(find("cuModuleGetFunction"),
        (&mut kernel => *mut *mut c_void, module => *mut c_void, c"missile_fill".as_ptr() => *const c_char));
    call!(find("cuStreamCreate"), (&mut stream => *mut *mut c_void, 1 => c_uint));
    let (mut buffer, mut pinned) = (0u64, null_mut());
    call!(find("cuMemAlloc_v2"), (&mut buffer => *mut u64, 4096 => usize));
    call!(find("cuMemHostAlloc"), (&mut pinned => *mut *mut c_void, 4096 => usize, 0 => c_uint));
    let synchronize = find("cuStreamSynchronize");
    let drain = || call!(synchronize, (stream => *mut c_void));

    println!("{:<24} {:>10} {:>10} {:>10}", "ns a call", "bare", "governed", "added");
    compare("cuCtxSetCurrent", &driver.pair("cuCtxSetCurrent"), |f, _| call!(f, (context => *mut c_void)), || {});
    let (mut base, mut words, mut value) = (buffer, 0u64, 0u32);
    let mut arguments: [*mut c_void; 3] = [(&raw mut base).cast(), (&raw mut words).cast(), (&raw mut value).cast()];
    let launch = |f, _| {
        call!(f, (kernel => *mut c_void, 1 => c_uint, 1 => c_uint, 1 => c_uint, 32 => c_uint, 1 => c_uint, 1 => c_uint,
            0 => c_uint, stream => *mut c_void, arguments.as_mut_ptr() => *mut *mut c_void, null_mut() => *mut c_void))
    };
    compare("cuLaunchKernel", &driver.pair("cuLaunchKernel"), launch, drain);
    let (alloc, free) = (driver.pair("cuMemAlloc_v2"), driver.pair("cuMemFree_v2"));
    let held = std::cell::RefCell::new([0u64; BATCH]);
    compare(
        "cuMemAlloc_v2 4 KiB",
        &alloc,
        |f, index| call!(f, (&mut held.borrow_mut()[index] => *mut u64, 4096 => usize)),
        || held.borrow().iter().for_each(|&address| call!(free.bare, (address => u64))),
    );
    let refill = || {
        for address in held.borrow_mut().iter_mut() {
            call!(alloc.bare, (address => *mut u64, 4096 => usize));
        }
    };
    refill();
    compare("cuMemFree_v2 4 KiB", &free, |f, index| call!(f, (held.borrow()[index] => u64)), refill);
    let copy = |f, _| call!(f, (buffer => u64, pinned => *const c_void, 4096 => usize, stream => *mut c_void));
    compare("cuMemcpyHtoDAsync 4 KiB", &driver.pair("cuMemcpyHtoDAsync_v2"), copy, drain);
    let copy = |f, _| call!(f, (buffer => u64, pinned => *const c_void, 4096 => usize));
    compare("cuMemcpyHtoD 4 KiB", &driver.pair("cuMemcpyHtoD_v2"), copy, || {});
    Ok(())
}
