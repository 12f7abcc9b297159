//! The choices that a tenant has: its colour, and how its copies share the bus.

use region::Class;
use units::Nanos;

/// A tenant's choice of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// As [`ColorChoice::On`] where colours are channels; none where they are sides of the L2.
    Auto,
    /// By class: the latency-sensitive and the best-effort get different ones.
    On,
    /// This one.
    Number(u32),
    /// None: memory stays as the driver makes it.
    Off,
}

impl ColorChoice {
    /// The colour that this choice means where there are `colors` of them: the latency-sensitive get the first and the
    /// best-effort the last. `None` for a colour that does not exist, for `Off`, or where there is only one colour, which
    /// separates nobody.
    pub fn resolve(self, class: Class, colors: u32) -> Option<u32> {
        match (self, class) {
            _ if colors < 2 => None,
            (ColorChoice::Off, _) => None,
            (ColorChoice::Auto | ColorChoice::On, Class::Ls) => Some(0),
            (ColorChoice::Auto | ColorChoice::On, Class::Be) => Some(colors - 1),
            (ColorChoice::Number(number), _) => (number < colors).then_some(number),
        }
    }
}

/// The way in which a tenant's copies share the bus with others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyChoice {
    /// By time slices of the copy engines; by the software gate where the kernel refuses those.
    On,
    /// By the software gate: the host holds copies back.
    Gate,
    /// As without Missile.
    Off,
}
/// The time for which a latency-sensitive tenant counts as at work after its work on the GPU is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// As long as the pauses within its requests usually are.
    Auto,
    /// This long.
    Fixed(Nanos),
}
