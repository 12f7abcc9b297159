//! The ground floor: what every part needs of the process itself, and nothing of Missile's.

pub(crate) mod background;
pub(crate) mod fork;
pub(crate) mod inject;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod shield;
