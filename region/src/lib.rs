//! The shared memory between the tenants of a GPU and the arbiter.
//!
//! This crate exists so that the preloaded library and the arbiter mean the same thing by every byte they share. It
//! knows the layout of the region file, who may write which field, and the few protocols on it: joining a slot
//! ([`Slot::claim`]), waking the arbiter ([`Doorbell`]), having channel groups take turns ([`Orders`]), keeping within the machine's map budget ([`Layout::charge_maps`]) and publishing a channel hash ([`Gpu::publish`]). It knows nothing
//! of CUDA, of scheduling policy or of the other crates. It must never block without a bound, trust a value that
//! another process wrote, hold a pointer or a lock in shared memory, or leave a state behind that `kill -9` of any
//! process could make permanent.
//!
//! Every field has one writer, named at the field; the exceptions are claimed by compare-and-swap and say so. Every
//! number is an atomic of fixed width, so that a torn or racing read is still some value, which the reader checks.

mod bus;
mod claim;
mod doorbell;
mod file;
mod gpu;
mod layout;
mod maps;
mod order;
mod slot;
mod sync;
mod why;

pub use bus::Bus;
pub use doorbell::Doorbell;
pub use file::{OpenError, Region};
pub use gpu::{Gpu, GpuKey, HashTable, MAX_MASKS};
pub use layout::{GPUS, Header, Layout, MAGIC, SLOTS, VERSION};
pub use maps::{MapBudgetExceeded, Shares};
pub use order::{Engine, Groups, Means, Order, Orders};
pub use slot::{Class, ColorState, Direction, Slot, SlotFull, Tenant};
pub use sync::monotonic_nanos;
pub use why::{Passed, Why};
