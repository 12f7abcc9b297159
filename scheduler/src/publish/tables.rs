//! Publishing the channel hashes of the machine's GPUs to the tenants.

use crate::recent::Last;
use crate::times::LOOK;
use region::{GpuKey, HashTable, Layout};
use units::Nanos;

/// The source of the channel hashes of the machine's GPUs.
pub trait Tables: Send {
    /// The hash of every GPU that has one now. Asked at the start, when a tenant joins and at most once a second
    /// besides, on the arbiter's one thread: it must come back quickly.
    fn hashes(&mut self) -> Vec<(GpuKey, HashTable)>;
}

/// Keeps what the region says of hashes at what the tables say.
pub(crate) struct Publisher {
    tables: Box<dyn Tables>,
    asked: Last,
}

impl Publisher {
    pub(crate) fn new(tables: Box<dyn Tables>) -> Self {
        Publisher { tables, asked: Last::default() }
    }

    /// Asks the tables if it is time, or if a tenant joined, and publishes what differs.
    pub(crate) fn turn(&mut self, layout: &Layout, joined: bool, now: Nanos) {
        if joined {
            self.asked.note(now);
        } else if !self.asked.renew(LOOK, now) {
            return;
        }
        let hashes = self.tables.hashes();
        // Compared with what the region says and not with what was published: a former arbiter's hashes and damage by
        // a tenant are then put right as well.
        for (key, table) in &hashes {
            // No entry left: there are more GPUs than the region tells apart, and this one stays without a hash.
            let Some(index) = layout.gpu_index(*key) else { continue };
            let gpu = &layout.header.gpus[index];
            if gpu.hash().as_ref() != Some(table) {
                gpu.publish(Some(table));
            }
        }
        for gpu in &layout.header.gpus {
            let has_table = gpu.key().is_some_and(|key| hashes.iter().any(|(with_table, _)| *with_table == key));
            if !has_table && gpu.hash().is_some() {
                gpu.publish(None);
            }
        }
    }
}
