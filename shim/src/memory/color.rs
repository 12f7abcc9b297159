//! The tenant's colour on each GPU, and whether this process colours at all.

use crate::driver::query;
use crate::rm::version;
use crate::tenant::membership::Joined;
use abi::cuda::CUdevice;
use region::{ColorState, GpuKey, HashTable};
use settings::ColorChoice;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set for good once the kernel answered a map call of ours with something unexpected, or others see all memory.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Whether nothing more is coloured in this process.
pub(crate) fn has_stopped() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Colours nothing more in this process.
pub(crate) fn stop(joined: &Joined, why: ColorState) {
    STOPPED.store(true, Ordering::Relaxed);
    joined.tenant().color_state.store(why.code(), Ordering::Relaxed);
}

/// Whether memory on the GPU with this index may be coloured.
pub(crate) fn is_possible(joined: &Joined, gpu: usize) -> bool {
    joined.region.layout().header.gpus[gpu].key().is_some_and(|key| on(joined, key).is_ok())
}

/// The hash of a GPU and the tenant's colour under it, or why there is none.
pub(crate) fn on(joined: &Joined, key: GpuKey) -> Result<(HashTable, u32), ColorState> {
    let is_known = version::version().is_none_or(|version| version.is_supported());
    let layout = joined.region.layout();
    let hash = layout.gpu_index(key).and_then(|index| layout.header.gpus[index].hash());
    choose(joined.settings.color, joined.settings.class, is_known, hash)
}

/// The colour that a tenant of `class` gets by its choice.
fn choose(
    choice: ColorChoice,
    class: region::Class,
    driver_is_known: bool,
    hash: Option<HashTable>,
) -> Result<(HashTable, u32), ColorState> {
    if choice == ColorChoice::Off {
        return Err(ColorState::Off);
    }
    if !driver_is_known {
        return Err(ColorState::UnknownDriver);
    }
    let hash = hash.ok_or(ColorState::NoTable)?;
    if hash.by_side && choice == ColorChoice::Auto {
        return Err(ColorState::NotAsked);
    }
    let color = choice.resolve(class, hash.colors()).ok_or(ColorState::NoSuchColor)?;
    Ok((hash, color))
}

/// Writes the tenant's colour on the device and its state into the region, and returns the state.
pub(crate) fn settle(joined: &Joined, device: CUdevice) -> ColorState {
    let answer = match query::uuid(device) {
        Some(uuid) => on(joined, GpuKey::from_uuid(uuid)),
        None => Err(ColorState::NoTable),
    };
    let (color, state) = match answer {
        Ok((_, color)) => (color, ColorState::On),
        Err(state) => (u32::MAX, state),
    };
    joined.tenant().color.store(color, Ordering::Relaxed);
    joined.tenant().color_state.store(state.code(), Ordering::Relaxed);
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use region::Class;

    fn hash(by_side: bool) -> Option<HashTable> {
        let mut hash = HashTable::new(4096, &[0x3000])?;
        hash.by_side = by_side;
        Some(hash)
    }

    fn state(choice: ColorChoice, driver_is_known: bool, hash: Option<HashTable>) -> Result<u32, ColorState> {
        choose(choice, Class::Be, driver_is_known, hash).map(|(_, color)| color)
    }

    #[test]
    fn colors_that_are_sides_of_the_l2_are_taken_only_where_they_are_asked_for() {
        assert_eq!(state(ColorChoice::Auto, true, hash(true)), Err(ColorState::NotAsked));
        assert!(state(ColorChoice::On, true, hash(true)).is_ok());
        assert!(state(ColorChoice::Auto, true, hash(false)).is_ok());
    }

    #[test]
    fn a_color_needs_a_table_that_has_it_and_a_driver_that_is_known() {
        assert_eq!(state(ColorChoice::On, true, None), Err(ColorState::NoTable));
        assert_eq!(state(ColorChoice::On, false, hash(false)), Err(ColorState::UnknownDriver));
        assert_eq!(state(ColorChoice::Number(9), true, hash(false)), Err(ColorState::NoSuchColor));
        assert_eq!(state(ColorChoice::Off, true, hash(false)), Err(ColorState::Off));
    }
}
