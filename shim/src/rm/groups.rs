//! The channel groups of this process, as its own requests to the kernel make and free them.
//!
//! A context's work goes to the GPU through channels, which form a group for each engine; the hardware gives groups turns
//! of at most a time slice. The `ioctl` interposer tells of every group, channel and subdevice that is made
//! ([`made`], [`freeing`]), in any context and on any GPU, also before the process joins. Which slices they get is the
//! arbiter's; [`crate::slices`] sets them, on the helper thread alone. Nothing here depends on the driver's branch: numbers
//! and structures have been the same since 535, and are tried before they are relied on.
//!
//! Under MPS the kernels' group belongs to the server, of which a client holds a duplicate; those are never noted, so no
//! client governs the others by it.

use super::control::{Handle, Node, Subdevice};
use crate::base::lock::Lock;
use abi::groups::{ChannelGroupParams, is_channel_class};
use abi::rm::{CLASS_SUBDEVICE, Nvos21};
use region::Engine;
use std::ffi::c_int;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};

/// A channel group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) handle: Handle,
    pub(crate) device: u32,
    pub(crate) node: Node,
    pub(crate) engine: Engine,
    pub(crate) channels: Vec<u32>,
    /// The slice in microseconds that the driver's library asked for last, and how often it asked.
    pub(crate) drivers_us: Option<u64>,
    pub(crate) asked: u32,
}

/// The objects that this process made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) groups: Vec<Group>,
    pub(crate) subdevices: Vec<Subdevice>,
}

static KNOWN: Lock<Known> = Lock::new(Known { groups: Vec::new(), subdevices: Vec::new() });

/// The objects that are there now.
pub(crate) fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock()
}

/// More groups than any program has: a process that makes groups without end is not followed any further.
const MOST_GROUPS: usize = 512;

/// An object was made.
///
/// # Safety
/// `call` was accepted by the kernel, so its parameters are those of its class, or null.
pub(crate) unsafe fn made(fd: c_int, call: &Nvos21) {
    let handle = Handle { client: call.client, object: call.object };
    if call.class == abi::groups::CLASS_CHANNEL_GROUP {
        if call.params == 0 {
            return;
        }
        // SAFETY: a group was made from parameters at this address.
        let params = unsafe { (call.params as *const ChannelGroupParams).read_unaligned() };
        let (Some(engine), Some(node)) = (engine_of(params.engine), Node::of(fd)) else { return };
        let mut known = known();
        if known.groups.len() < MOST_GROUPS {
            let device = call.parent;
            known.groups.push(Group { handle, device, node, engine, channels: Vec::new(), drivers_us: None, asked: 0 });
        }
    } else if call.class == CLASS_SUBDEVICE {
        let Some(node) = Node::of(fd) else { return };
        known().subdevices.push(Subdevice { handle, device: call.parent, node });
    } else if is_channel_class(call.class) {
        let parent = Handle { client: call.client, object: call.parent };
        if let Some(group) = known().groups.iter_mut().find(|group| group.handle == parent) {
            group.channels.push(call.object);
        }
    }
}

/// The engine behind the driver's number for it, if it is one that is shared out.
fn engine_of(engine: u32) -> Option<Engine> {
    if abi::groups::is_graphics(engine) {
        Some(Engine::Graphics)
    } else {
        abi::groups::is_copy(engine).then_some(Engine::Copy)
    }
}

/// Knowledge of an object that is about to be freed, which was forgotten.
pub(crate) struct Forgotten(Known);

/// An object, with all beneath it, is about to be freed. Forgotten before that is so: a moment later another thread may
/// be given the same handle.
pub(crate) fn freeing(client: u32, object: u32) -> Forgotten {
    let mut known = known();
    let goes = |handle: Handle, device: u32| {
        handle.client == client && (object == client || handle.object == object || device == object)
    };
    let mut gone = Known::default();
    gone.groups.extend(known.groups.extract_if(.., |group| goes(group.handle, group.device)));
    gone.subdevices.extend(known.subdevices.extract_if(.., |sub| goes(sub.handle, sub.device)));
    for group in known.groups.iter_mut().filter(|group| group.handle.client == client) {
        // A channel that the kernel then does not free is one that is not stopped with the others.
        group.channels.retain(|&channel| channel != object);
    }
    Forgotten(gone)
}

/// It was not freed.
pub(crate) fn not_freed(forgotten: Forgotten) {
    let Known { groups, subdevices } = forgotten.0;
    let mut known = known();
    known.groups.extend(groups);
    known.subdevices.extend(subdevices);
}

/// Whether there is something new for the helper thread, which it may have missed while it was at work.
static NEWS: AtomicBool = AtomicBool::new(false);

/// Takes note of news; whether there were any.
pub(crate) fn take_news() -> bool {
    NEWS.swap(false, Ordering::AcqRel)
}

/// Has the helper thread look at the groups once more.
pub(crate) fn look_again() {
    NEWS.store(true, Ordering::Release);
}

/// The driver's library set a slice, or put a group on its engine. Whether the helper thread has to look at it.
pub(crate) fn asked(client: u32, object: u32, slice_us: Option<u64>) -> bool {
    let handle = Handle { client, object };
    {
        let mut known = known();
        let Some(group) = known.groups.iter_mut().find(|group| group.handle == handle) else { return false };
        if let Some(micros) = slice_us {
            (group.drivers_us, group.asked) = (Some(micros), group.asked.wrapping_add(1));
        }
    }
    look_again();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::groups::CLASS_HOPPER_CHANNEL;

    /// Tells of an object that was made. Tests share the registry, so each has a client of its own.
    fn tell(client: u32, parent: u32, object: u32, class: u32, engine: u32) {
        let params = ChannelGroupParams { engine, ..Default::default() };
        let params = std::ptr::from_ref(&params) as u64;
        let file = std::fs::File::open("/dev/null").expect("it is there");
        // SAFETY: the parameters are a group's, and live.
        unsafe {
            made(
                std::os::fd::AsRawFd::as_raw_fd(&file),
                &Nvos21 { client, parent, object, class, params, ..Default::default() },
            )
        };
    }

    fn groups_of(client: u32) -> Vec<(u32, Vec<u32>)> {
        let known = known();
        let own = known.groups.iter().filter(|group| group.handle.client == client);
        own.map(|group| (group.handle.object, group.channels.clone())).collect()
    }

    #[test]
    fn groups_are_known_with_their_channels_until_they_are_freed() {
        const GROUP: u32 = abi::groups::CLASS_CHANNEL_GROUP;
        tell(7, 1, 2, CLASS_SUBDEVICE, 0);
        tell(7, 1, 3, GROUP, 1);
        tell(7, 1, 4, GROUP, 11);
        tell(7, 1, 5, GROUP, 19);
        tell(7, 3, 30, CLASS_HOPPER_CHANNEL, 0);
        tell(7, 9, 90, CLASS_HOPPER_CHANNEL, 0);
        assert_eq!(groups_of(7), [(3, vec![30]), (4, vec![])], "no video engine, and no channel of an unknown group");
        let forgotten = freeing(7, 3);
        assert_eq!(groups_of(7), [(4, vec![])]);
        not_freed(forgotten);
        assert_eq!(groups_of(7).len(), 2);
        freeing(7, 30);
        assert!(groups_of(7).contains(&(3, vec![])));
        freeing(7, 1);
        assert_eq!(groups_of(7), [], "a device goes with all beneath it");
        assert!(!known().subdevices.iter().any(|sub| sub.handle.client == 7));
    }
}
