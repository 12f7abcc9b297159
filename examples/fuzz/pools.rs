//! The handles and addresses that the client holds, by what they are of.

use crate::random::Random;
use std::collections::BTreeMap;

/// The kind of object that a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Of {
    /// Device memory, by its address.
    Device,
    /// Addresses set aside.
    Reserved,
    /// Physical memory.
    Physical,
    /// Host memory of the driver's.
    Pinned,
    /// Host memory of the client's that was registered.
    Registered,
    Stream,
    Context,
    Function,
    Event,
    Graph,
    Node,
    Exec,
    Pool,
    /// Objects that the simulated driver never gives out: arrays, green contexts, endpoints.
    Other,
}

const KINDS: usize = Of::Other as usize + 1;
/// How many handles of the past are remembered.
const STALE: usize = 16;

/// A handle or an address, and the size of what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub handle: u64,
    pub bytes: u64,
}

/// All that is held.
#[derive(Default)]
pub struct Pools {
    live: [Vec<Held>; KINDS],
    stale: [Vec<u64>; KINDS],
    /// Every device address that the driver gave in this epoch, with its bytes and a number of its own.
    given: BTreeMap<u64, (u64, u64)>,
    next: u64,
    /// The first handle that is counted from here on.
    first: Option<u64>,
}

/// Device addresses of the simulated driver.
const DEVICE: std::ops::Range<u64> = 0x3_0000_0000..0x5000_0000_0000;
/// Handles of the simulated driver, which it counts up.
const HANDLES: std::ops::Range<u64> = 0x2_0000_0000..DEVICE.start;
/// A process's own addresses, as far as the client and the driver's libraries get any. Other words are numbers.
const OWN: std::ops::Range<u64> = 0x5000_0000_0000..0x8000_0000_0000;

impl Pools {
    /// Notes what the driver gave.
    pub fn add(&mut self, of: Of, handle: u64, bytes: u64) {
        self.live[of as usize].retain(|held| held.handle != handle);
        self.live[of as usize].push(Held { handle, bytes });
        if DEVICE.contains(&handle) {
            self.next += 1;
            self.given.insert(handle, (bytes, self.next));
        }
    }

    /// A word by what it means: device addresses by which memory they lie in and where, as the addresses themselves
    /// may differ between two drivers; addresses of the process as nothing but that.
    pub fn meaning(&self, word: u64) -> u64 {
        if OWN.contains(&word) {
            return OWN.start;
        }
        // What is between the program and the driver may take handles of its own before this one.
        if let Some(first) = self.first.filter(|first| (*first..HANDLES.end).contains(&word)) {
            return 1 << 57 | (word - first);
        }
        if !DEVICE.contains(&word) {
            return word;
        }
        match self.given.range(..=word).next_back() {
            Some((start, (bytes, number))) if word - start <= *bytes => 1 << 56 | number << 32 | (word - start),
            _ => DEVICE.start,
        }
    }

    /// Handles are counted from this one, unless they are already.
    pub fn count_from(&mut self, handle: u64) {
        self.first.get_or_insert(handle);
    }

    /// Forgets all addresses, for a new epoch.
    pub fn forget_addresses(&mut self) {
        (self.given, self.next) = (BTreeMap::new(), 0);
    }

    /// Notes what was given back.
    pub fn remove(&mut self, of: Of, handle: u64) -> Option<Held> {
        let live = &mut self.live[of as usize];
        let place = live.iter().position(|held| held.handle == handle)?;
        let stale = &mut self.stale[of as usize];
        if stale.len() >= STALE {
            stale.remove(0);
        }
        stale.push(handle);
        Some(live.remove(place))
    }

    /// The live handles of a kind, oldest first.
    pub fn live(&self, of: Of) -> &[Held] {
        &self.live[of as usize]
    }

    /// One that lives, if one does.
    pub fn pick(&self, of: Of, random: &mut Random) -> Option<Held> {
        let live = self.live(of);
        (!live.is_empty()).then(|| live[random.below(live.len() as u64) as usize])
    }

    /// One that was given back and is not there again.
    pub fn pick_stale(&self, of: Of, random: &mut Random) -> Option<u64> {
        let stale = &self.stale[of as usize];
        let picked = (!stale.is_empty()).then(|| stale[random.below(stale.len() as u64) as usize])?;
        self.live(of).iter().all(|held| held.handle != picked).then_some(picked)
    }
}
