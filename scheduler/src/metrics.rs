//! Metrics for Prometheus, at a place that the operator chooses.
//!
//! A thread of their own reads the region as any onlooker does, so that what it says is what `missile top` says, and
//! the arbiter itself does nothing for them. It sleeps while nobody asks. There is no password, and metrics name
//! programs: hence [`MetricsAddress`] has no place that another machine could reach.

mod address;
mod families;
mod note;
mod request;
mod server;
mod socket;

pub use address::{MetricsAddress, MetricsAddressError};
pub use note::metrics_of;
pub use socket::{MetricsSocket, MetricsSocketError};

use crate::error::ArbiterError;
use crate::stop::Event;
use note::Note;
use region::{Region, monotonic_nanos};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, Scope};
use units::Nanos;

/// The thread that serves metrics. It ends when this is dropped, with the socket and the note of where it is.
pub(crate) struct Service(Arc<Event>);

/// Serves the metrics of a region that this process holds; without a socket, makes sure that nobody says they are served.
pub(crate) fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    socket: Option<MetricsSocket>,
    region: &Path,
) -> Result<Option<Service>, ArbiterError> {
    let failed = |what| move |error| ArbiterError::Metrics { what, error };
    let Some(socket) = socket else {
        return Note::forget(region).map(|_| None).map_err(failed("remove the note of the last arbiter's"));
    };
    // Opened anew: whoever holds the arbiter's lock does not see it as held through the same file.
    let onlooker = Region::open(region)?;
    let note = Note::write(region, socket.address()).map_err(failed("note where they are"))?;
    let end = Arc::new(Event::new().map_err(failed("make an eventfd"))?);
    let ended = Arc::clone(&end);
    let page = move || {
        // Writing to a string does not fail.
        families::page(crate::snapshot(&onlooker, Nanos::new(monotonic_nanos()))).unwrap_or_default()
    };
    let serve = move || {
        let _note = note;
        give_way();
        server::serve_until(&ended, &socket, &page);
    };
    thread::Builder::new()
        .name("missile-metrics".to_owned())
        .spawn_scoped(scope, serve)
        .map_err(failed("start a thread"))?;
    Ok(Some(Service(end)))
}

/// Somebody who asks and asks must not take the arbiter's time.
fn give_way() {
    // SAFETY: takes integers only; process 0 is the calling thread. Where it fails, the thread is as urgent as others.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.signal();
    }
}
