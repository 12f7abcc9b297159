//! Metrics for Prometheus, at a place that the operator chooses.
//!
//! A thread of their own reads the region as any onlooker does, so that what it says is what `missile top` says. It sleeps
//! while nobody asks. There is no password, and metrics name programs: hence [`MetricsAddress`] has no place that another
//! machine could reach.

mod address;
mod note;
mod request;
mod server;
mod socket;

pub use address::{MetricsAddress, MetricsAddressError};
pub use note::metrics_of;
pub use socket::{MetricsSocket, MetricsSocketError};

use crate::page::page;
use crate::snapshot::snapshot;
use note::Note;
use region::{OpenError, Region, monotonic_nanos};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use units::Nanos;

/// Metrics cannot be served, although their place could be had.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The region cannot be read.
    #[error(transparent)]
    Region(#[from] OpenError),
    /// The system refused.
    #[error("cannot serve metrics: cannot {what}: {error}")]
    Io {
        /// The step that failed.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

/// The thread that serves metrics. It ends when this is dropped, with the socket and the note of where it is.
#[derive(Debug)]
pub struct Exporter {
    /// The thread sees the other end of it: it is closed to end the thread.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Serves the metrics of a region at a socket. The region's arbiter is meant to be this process, as the note beside the
    /// region speaks for it.
    pub fn start(socket: MetricsSocket, region: &Path) -> Result<Exporter, ExporterError> {
        let failed = |what| move |error| ExporterError::Io { what, error };
        // Opened anew: whoever holds the arbiter's lock does not see it as held through the same file.
        let onlooker = Region::open(region)?;
        let note = Note::write(region, socket.address()).map_err(failed("note where they are"))?;
        let (end, ended) = UnixStream::pair().map_err(failed("make a pair of sockets"))?;
        let page = move || {
            // Writing to a string does not fail.
            page(snapshot(&onlooker, Nanos::new(monotonic_nanos()))).unwrap_or_default()
        };
        let serve = move || {
            let _note = note;
            give_way();
            server::serve_until(&ended, &socket, &page);
        };
        let thread = thread::Builder::new().name("missile-metrics".to_owned()).spawn(serve);
        let thread = thread.map_err(failed("start a thread"))?;
        Ok(Exporter { end: Some(end), thread: Some(thread) })
    }

    /// Makes sure that nobody says that the metrics of a region are served, as a dead arbiter may have left.
    pub fn none(region: &Path) -> Result<(), ExporterError> {
        let failed = |error| ExporterError::Io { what: "remove the note of the last arbiter's", error };
        Note::forget(region).map(drop).map_err(failed)
    }
}

/// Lowers the priority of this thread: a client that asks and asks must not take the arbiter's time.
fn give_way() {
    // SAFETY: takes integers only; process 0 is the calling thread. Where it fails, the thread is as urgent as others.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It failed only if it panicked, which it has said itself.
            let _ = thread.join();
        }
    }
}
