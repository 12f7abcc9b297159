//! Publishing the channel hashes and the TPCs of the machine's GPUs to the tenants.

use crate::recent::Last;
use crate::times::LOOK;
use region::{GpuKey, HashTable, Layout, Tpcs};
use units::Nanos;

/// The source of what the machine's GPUs were found to be. Asked at the start, when a tenant joins and at most once a
/// second besides, on the arbiter's one thread: it must come back quickly.
pub trait Tables: Send {
    /// The hash of every GPU that has one now.
    fn hashes(&mut self) -> Vec<(GpuKey, HashTable)>;

    /// The TPCs of every GPU whose TPCs are known, as of when the hashes were last asked for.
    fn tpcs(&self) -> Vec<(GpuKey, Tpcs)>;
}

/// Keeps what the region says of GPUs at what the tables say.
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
        publish_tpcs(layout, &self.tables.tpcs());
    }
}

/// Publishes TPCs where the region says something else, as hashes are.
fn publish_tpcs(layout: &Layout, found: &[(GpuKey, Tpcs)]) {
    for (key, tpcs) in found {
        let Some(index) = layout.gpu_index(*key) else { continue };
        let gpu = &layout.header.gpus[index];
        if gpu.tpcs().as_ref() != Some(tpcs) {
            gpu.publish_tpcs(Some(tpcs));
        }
    }
    for gpu in &layout.header.gpus {
        let has_tpcs = gpu.key().is_some_and(|key| found.iter().any(|(with_tpcs, _)| *with_tpcs == key));
        if !has_tpcs && gpu.tpcs().is_some() {
            gpu.publish_tpcs(None);
        }
    }
}
