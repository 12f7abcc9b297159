//! Announcing a governed allocation before the driver is called, and settling it afterwards.

use super::decision::{self, Standing};
use super::intent::{self, Asked, Intent};
use super::{color, headroom, selftest};
use crate::base::log::debug;
use crate::base::shield;
use crate::driver::objects::OBJECTS;
use crate::tenant::membership::{self, Joined};
use region::Why;
use units::{Bytes, DeviceVa};

/// A governed allocation under way on this thread.
pub(crate) struct Announced {
    asked: Asked,
}

/// Allocations smaller than this are many; the driver takes them from what it has, and nothing is kept of them.
fn least_kept(joined: &Joined) -> Bytes {
    joined.settings.color_min.min(Bytes::mib(2))
}

/// Announces that this thread is about to ask the driver for memory, which may be refused colours for a reason that the
/// caller knows.
pub(crate) fn announce(asked: Asked, known: Result<(), Why>) -> Announced {
    shield::on_purpose("panic-announce");
    intent::replace(match known.and_then(|()| wanted(&asked)) {
        Ok(()) => Intent::Allocate(asked),
        Err(why) => {
            membership::passed(why);
            debug!("{} stay uncoloured: {why:?}", asked.least);
            let kept = membership::joined().is_some_and(|joined| asked.least >= least_kept(joined));
            if kept || asked.pooled { Intent::Leave(None) } else { Intent::Nothing }
        }
    });
    Announced { asked }
}

fn wanted(asked: &Asked) -> Result<(), Why> {
    let joined = membership::joined().ok_or(Why::NotJoined)?;
    let standing = Standing {
        has_failed: shield::has_failed(),
        has_stopped: color::has_stopped(),
        least: joined.settings.color_min,
        most: joined.settings.color_max,
    };
    decision::allocation(asked, &standing)?;
    let gpu = joined.current_gpu().ok_or(Why::Unproven)?;
    // Where nothing can be coloured, that is said as the memory is mapped. Asked only until the self-test is passed: it
    // takes a lock, and pools are asked for memory often.
    if !selftest::is_passed(gpu) && !color::is_possible(joined, gpu) {
        return Ok(());
    }
    selftest::pass(joined, gpu)?;
    headroom::suffices(asked.least)
}

impl Announced {
    /// The driver answered; keeps what was asked for at `va`, if it is an allocation of its own.
    pub(crate) fn settle(self, va: Option<DeviceVa>) {
        let intent = intent::replace(Intent::Nothing);
        let (Some(va), Some(joined)) = (va, membership::joined()) else { return };
        shield::on_purpose("panic-settle");
        if self.asked.pooled {
            return;
        }
        if let Intent::Allocate(_) = intent {
            // The driver had memory at hand.
            joined.tenant().passed.count(Why::NotOneObject);
        }
        if self.asked.least >= least_kept(joined) {
            OBJECTS.allocations.insert(va, self.asked.least);
        }
    }
}
