//! Precedence on the host's cores, for a program that needs little time, but at once.

/// A time slice, in nanoseconds. Of two threads that want a core, the one with the shorter slice gets it.
const SLICE: u64 = 100_000;

/// `struct sched_attr` of the kernel, as of its first version.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Has the calling thread, and those that it starts from now on, run before ordinary ones: in real time where that is
/// allowed, else with a short time slice, where the kernel knows such. Makes system calls only, so it may be called
/// between fork and exec.
pub fn take_precedence() {
    let attributes = |policy: libc::c_int, priority, runtime| Attributes {
        size: size_of::<Attributes>() as u32,
        policy: policy as u32,
        flags: 0,
        nice: 0,
        priority,
        runtime,
        deadline: 0,
        period: 0,
    };
    for wanted in [attributes(libc::SCHED_RR, 1, 0), attributes(libc::SCHED_OTHER, 0, SLICE)] {
        // SAFETY: the attributes are live and say their size; 0 is the calling thread, and there are no flags.
        if unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &wanted as *const Attributes, 0) } == 0 {
            return;
        }
    }
}
