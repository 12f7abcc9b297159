//! The words that tenants, arbiter and onlookers share, with the numbers that stand for them in the region.

/// The number of tenants (process images) that a region holds.
pub const SLOTS: usize = 64;
/// The number of GPUs that a region tells apart.
pub const GPUS: usize = 8;

/// A direction of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Direction {
    /// Host to device.
    H2d = 0,
    /// Device to host.
    D2h = 1,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::H2d, Direction::D2h];

    /// `h2d` or `d2h`.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::H2d => "h2d",
            Direction::D2h => "d2h",
        }
    }
}

/// An engine that a tenant's channel groups feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Engine {
    /// Runs kernels.
    Graphics = 0,
    /// Moves data between host and device, or between devices.
    Copy = 1,
}

impl Engine {
    /// Both.
    pub const ALL: [Engine; 2] = [Engine::Graphics, Engine::Copy];

    /// `gr` or `copy`.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Graphics => "gr",
            Engine::Copy => "copy",
        }
    }
}

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// The number that stands for it in the region.
            pub const fn code(self) -> u32 {
                match self { $($name::$variant => $code,)* }
            }

            /// The meaning of a number; `None` for one that means nothing.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some($name::$variant),)* _ => None }
            }

            /// The word for it, in variables, JSON and messages.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

pub(crate) use coded;

coded! {
    /// A tenant's rank among the others.
    Class {
        /// Latency-sensitive: goes first.
        Ls = 1 "ls",
        /// Best-effort: takes what is left.
        Be = 2 "be",
    }
}

coded! {
    /// The state of a tenant's colour: coloured, or the reason why not.
    ColorState {
        /// Nothing was allocated yet that could be.
        Pending = 0 "pending",
        /// Coloured.
        On = 1 "on",
        /// Switched off by the operator.
        Off = 2 "off",
        /// There is no table for the GPU.
        NoTable = 3 "no table that colours this GPU: run `missile probe`, or see `missile doctor`",
        /// The driver's kernel interface is not one that Missile knows.
        UnknownDriver = 4 "driver version not known to Missile",
        /// The colour asked for is not one of the table's.
        NoSuchColor = 5 "the table has no such colour",
        /// The pager's self-test failed.
        SelfTestFailed = 6 "re-backing did not pass its self-test",
        /// The kernel answered a map call with something unexpected.
        MapFailed = 7 "the kernel refused a map call",
        /// The process came to the driver by a way that the library does not see.
        Bypassed = 8 "not governed: the driver was initialised past the library",
        /// Other GPUs have access to its memory, and see the driver's own pages only.
        SharedWithPeers = 9 "other GPUs have access to its memory",
        /// Colours are sides of the L2 here, and none was asked for.
        NotAsked = 10 "colours are sides of the L2 on this GPU, which cost more than they bring: `--color on` asks for them",
    }
}

coded! {
    /// The means that a tenant's library has over its own channel groups.
    Means {
        /// There are no groups, or they were not tried yet.
        Unknown = 0 "unknown",
        /// Nothing: the kernel refuses time slices.
        Nothing = 1 "nothing",
        /// It can set their slices.
        Slices = 2 "slices",
        /// It can set their slices, and stop them.
        SlicesAndStops = 3 "slices_and_stops",
        /// It holds submissions back on the host.
        Gate = 4 "gate",
    }
}

/// Some of the region's slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSet(pub(crate) u64);

const _: () = assert!(SLOTS <= 64);

impl SlotSet {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<usize> for SlotSet {
    fn from_iter<T: IntoIterator<Item = usize>>(slots: T) -> Self {
        SlotSet(slots.into_iter().filter(|&slot| slot < SLOTS).fold(0, |set, slot| set | 1 << slot))
    }
}

impl Iterator for SlotSet {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let first = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (first < SLOTS).then_some(first)
    }
}
