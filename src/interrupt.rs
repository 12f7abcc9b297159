//! Asking this process to end: Ctrl-C, SIGTERM, SIGHUP.

use scheduler::Stop;
use std::io;
use std::sync::OnceLock;

static STOP: OnceLock<Stop> = OnceLock::new();

/// From now on the signals that end a process request this stop instead.
pub fn stop_on_signals() -> io::Result<&'static Stop> {
    if STOP.get().is_none() {
        let _ = STOP.set(Stop::new()?);
    }
    let stop = STOP.get().ok_or(io::ErrorKind::Other)?;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler: extern "C" fn(libc::c_int) = on_signal;
        // SAFETY: the handler makes only calls that are safe in one, and `STOP` is set for good.
        if unsafe { libc::signal(signal, handler as libc::sighandler_t) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(stop)
}

extern "C" fn on_signal(_signal: libc::c_int) {
    if let Some(stop) = STOP.get() {
        stop.request();
    }
}
