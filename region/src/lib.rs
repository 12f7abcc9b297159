//! The shared memory between the tenants of a GPU and the arbiter.
//!
//! This crate exists so that the preloaded library and the arbiter mean the same thing by every byte they share. It
//! knows the layout of the region file, the writer of each field, and the few protocols on it: holding a slot
//! ([`Region::join`]), waking the arbiter ([`Doorbell`]), having channel groups take turns ([`Orders`]), saying that one has
//! work ([`Activity`]), keeping within the machine's map budget ([`Layout::charge_maps`]) and publishing a channel hash and
//! the TPCs of a GPU ([`Gpu::publish`], [`Gpu::publish_tpcs`]). It knows nothing of
//! CUDA, of scheduling policy or of the other crates. It must never block without a bound, trust a value that another
//! process wrote, hold a pointer in shared memory, or leave a state behind that `kill -9` of any process could make
//! permanent.
//!
//! Every field has one writer, named at the field or at its structure; the exceptions are claimed by compare-and-swap or
//! under a lock of the file, and say so. Every type of the layout is [`Shared`], and each field's offset stands before it.
//!
//! Modules, each of which knows only those before it: `sync`, `shared`, `terms`, `times`; `claim`, `doorbell`, `hash`,
//! `tpcs`, `why`, `bus`, `groups`, `activity`, `aim`, `allowed`, `requests`; `gpu`, `orders`, `tenant`; `slot`, `machine`; `layout`, `shares`, `maps`;
//! `lock`, `hold`,
//! `error`, `file`.

mod activity;
mod aim;
mod allowed;
mod bus;
mod claim;
mod doorbell;
mod error;
mod file;
mod gpu;
mod groups;
mod hash;
mod hold;
mod layout;
mod lock;
mod machine;
mod maps;
mod orders;
mod requests;
mod shared;
mod shares;
mod slot;
mod sync;
mod tenant;
mod terms;
pub mod times;
mod tpcs;
mod why;

pub use activity::{Activity, Doing};
pub use aim::{Aim, Reached};
pub use bus::Bus;
pub use claim::Tenure;
pub use doorbell::Doorbell;
pub use error::{JoinError, OpenError};
pub use file::Region;
pub use gpu::Gpu;
pub use groups::Groups;
pub use hash::{GpuKey, HashTable};
pub use hold::Hold;
pub use layout::Layout;
pub use machine::Header;
pub use maps::MapBudgetExceeded;
pub use orders::{Order, Orders};
pub use requests::{Requests, Served};
pub use shared::Shared;
pub use shares::Shares;
pub use slot::Slot;
pub use sync::monotonic_nanos;
pub use tenant::Tenant;
pub use terms::{Class, ColorState, Direction, Engine, GPUS, Means, SLOTS, SlotSet};
pub use tpcs::Tpcs;
pub use why::{Passed, Why};
