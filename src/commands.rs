//! The commands, one file each.

pub mod demo;
pub mod doctor;
pub mod down;
pub mod probe;
pub mod run;
pub mod table;
pub mod tenant;
pub mod top;
pub mod up;
