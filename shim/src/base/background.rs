//! Starting the library's one thread.

use super::log::info;

/// Bytes of the thread's stack.
const STACK: usize = 256 << 10;

/// Runs `body` on a thread of its own, with all signals blocked. Where that fails it does not run.
pub(crate) fn spawn(body: impl FnOnce() + Send + 'static) {
    // The host's signals are the host's: a thread inherits the mask, so all are blocked while it is made.
    let mut old = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are live; sigfillset initialises the first before it is used.
    let masked = unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()) == 0
    };
    let spawned = std::thread::Builder::new().name("missile".into()).stack_size(STACK).spawn(body);
    if masked {
        // SAFETY: `old` was written by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    }
    if let Err(error) = spawned {
        info!("no thread for the arbiter's orders: {error}");
    }
}
