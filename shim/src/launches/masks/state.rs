//! Whether this process may put masks on its launches, and why not.

use crate::base::lock::Lock;
use crate::base::log::warning;
use abi::cuda::CUresult;
use abi::qmd::UnknownQmd;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Why masks are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Off {
    /// The driver has no table of functions for those who follow its launches.
    NoTable(CUresult),
    /// The table is not the one that is known: it ends before the functions that are needed, or has none there.
    OtherTable,
    /// The driver takes no follower beside those that it has.
    NotSubscribed(i32),
    /// The driver does not tell its follower of launches.
    NotEnabled(i32),
    /// The driver, asked to, does not tell of a launch.
    NotAnnounced,
    /// It tells of a launch without its descriptor.
    NoDescriptor,
    /// Launches are described in a form that is not known.
    UnknownDescriptor(UnknownQmd),
    /// A launch under a mask ran on more SMs than the mask leaves.
    NotKept { seen: u32, promised: u32 },
    /// A launch under a mask did not end.
    Hung,
    /// The driver refuses the self-test's kernel.
    NoKernel(CUresult),
    /// In all its tries the self-test did not see every SM that it should.
    NotAllSeen,
}

impl Off {
    /// The word for it in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Off::NoTable(_) => "no_table",
            Off::OtherTable => "other_table",
            Off::NotSubscribed(_) => "not_subscribed",
            Off::NotEnabled(_) => "not_enabled",
            Off::NotAnnounced => "not_announced",
            Off::NoDescriptor => "no_descriptor",
            Off::UnknownDescriptor(_) => "unknown_descriptor",
            Off::NotKept { .. } => "not_kept",
            Off::Hung => "hung",
            Off::NoKernel(_) => "no_kernel",
            Off::NotAllSeen => "not_all_seen",
        }
    }
}

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Off::NoTable(code) => write!(f, "the driver does not tell of its launches (error {code})"),
            Off::OtherTable => f.write_str("the driver tells of its launches in a way that is not known"),
            Off::NotSubscribed(code) => write!(f, "the driver takes nobody else who follows its launches ({code})"),
            Off::NotEnabled(code) => write!(f, "the driver would not tell of its launches ({code})"),
            Off::NotAnnounced => f.write_str("the driver let a launch pass untold"),
            Off::NoDescriptor => f.write_str("the driver told of a launch without its descriptor"),
            Off::UnknownDescriptor(unknown) => unknown.fmt(f),
            Off::NotKept { seen, promised } => {
                write!(f, "a launch that was to run on {promised} SMs ran on {seen} or more")
            }
            Off::Hung => f.write_str("a launch under a mask did not end"),
            Off::NoKernel(code) => write!(f, "the driver refuses the self-test's kernel (error {code})"),
            Off::NotAllSeen => {
                f.write_str("the self-test never saw all SMs; CUDA_MPS_ACTIVE_THREAD_PERCENTAGE or an old table?")
            }
        }
    }
}

static IS_OFF: AtomicBool = AtomicBool::new(false);
static WHY: Lock<Option<Off>> = Lock::new(None);

/// Whether masks are off for good in this process.
#[inline]
pub(crate) fn is_off() -> bool {
    IS_OFF.load(Ordering::Relaxed)
}

/// Why they are, if they are.
pub(crate) fn why_off() -> Option<Off> {
    if is_off() { *WHY.lock() } else { None }
}

/// Puts no more masks on launches in this process, and says so in one line. The first reason stays.
#[cold]
pub(crate) fn switch_off(why: Off) {
    let mut known = WHY.lock();
    if known.is_none() {
        *known = Some(why);
        IS_OFF.store(true, Ordering::Relaxed);
        warning!("launches carry no SM masks: {why}");
    }
}

/// The GPUs on which masks are proven, by the region's index.
static PROVEN: AtomicU32 = AtomicU32::new(0);

/// Whether launches on the GPU with this index of the region may carry masks.
#[inline]
pub(crate) fn is_ready(gpu: usize) -> bool {
    !is_off() && PROVEN.load(Ordering::Acquire) >> gpu & 1 == 1
}

/// The self-test was passed on this GPU.
pub(crate) fn proven(gpu: usize) {
    PROVEN.fetch_or(1 << gpu, Ordering::Release);
}
