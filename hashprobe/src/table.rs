//! The answer of a probe, as the table file holds it.

use crate::level::{Level, Mask, hex_address, plain_bytes};
use crate::{Finding, GpuInfo, GpuUuid, Report, TableError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use units::{Bytes, PhysAddr};

/// The format that this crate writes and reads.
pub(crate) const VERSION: u32 = 1;
/// No SM side is known.
const UNKNOWN_SIDE: i32 = -1;

/// The GPU that a table is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuEntry {
    /// The name of the product.
    pub name: String,
    /// What tells the card from every other.
    pub uuid: GpuUuid,
    /// How many SMs it has.
    pub sms: u32,
}

/// When and how a table was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// When, in RFC 3339.
    pub at: String,
    /// For how long.
    pub seconds: f64,
    /// From how many lines.
    pub samples: u64,
    /// How many tries a line.
    pub reps: u32,
    /// The highest physical address measured; whether bits above it count is not known.
    #[serde(with = "hex_address")]
    pub highest: PhysAddr,
}

/// How one GPU spreads physical addresses over its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    version: u32,
    driver: Option<String>,
    #[serde(rename = "page_bytes", with = "plain_bytes")]
    page: Bytes,
    colors: u32,
    granule_bytes: Option<u64>,
    slices: Option<u32>,
    why_not: Option<String>,
    sm_side: Vec<i32>,
    gpu: GpuEntry,
    measured: Measured,
    #[serde(default)]
    levels: Vec<Level>,
}

impl Table {
    /// The table for a finding of this moment.
    pub fn new(finding: &Finding, at: SystemTime) -> Table {
        let GpuInfo { name, uuid, sms, driver } = finding.gpu.clone();
        let side = |side: &Option<u32>| side.map_or(UNKNOWN_SIDE, |side| side as i32);
        Table {
            version: VERSION,
            driver,
            page: finding.page,
            colors: finding.colors,
            granule_bytes: None,
            slices: None,
            why_not: finding.uncolorable.map(|reason| reason.to_string()),
            sm_side: finding.sm_side.iter().map(side).collect(),
            gpu: GpuEntry { name, uuid, sms },
            measured: Measured {
                at: humantime::format_rfc3339_seconds(at).to_string(),
                seconds: finding.took.as_secs_f64(),
                samples: finding.effort.samples as u64,
                reps: finding.effort.reps,
                highest: finding.effort.highest,
            },
            levels: finding.levels.clone(),
        }
    }

    /// Where the table of a GPU lies in a data folder, unless a person says otherwise.
    pub fn default_path(data_dir: &Path, uuid: GpuUuid) -> PathBuf {
        data_dir.join("tables").join(format!("{uuid}.toml"))
    }

    /// The GPU.
    pub fn gpu(&self) -> &GpuEntry {
        &self.gpu
    }

    /// The kernel driver that it was measured with, where that is known.
    pub fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    /// The largest page size at which a page has one colour; 2 MiB where there is only one colour.
    pub fn page(&self) -> Bytes {
        self.page
    }

    /// How many colours there are; 1 means that nothing can be coloured.
    pub fn colors(&self) -> u32 {
        self.colors
    }

    /// Why there is only one colour, where there is.
    pub fn why_not(&self) -> Option<&str> {
        self.why_not.as_deref()
    }

    /// The levels of the channel hash.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// When and how it was measured.
    pub fn measured(&self) -> &Measured {
        &self.measured
    }

    /// The near side of the SM with this `%smid`, where it is known; sides have the numbers of the colours.
    pub fn side_of_sm(&self, smid: u32) -> Option<u32> {
        self.sm_side.get(smid as usize).and_then(|&side| u32::try_from(side).ok())
    }

    /// The colour of the page that an address lies in.
    pub fn color_of(&self, address: PhysAddr) -> u32 {
        self.color_masks().enumerate().map(|(bit, mask)| mask.parity(address) << bit).sum()
    }

    /// What `missile probe --json` prints; `path` is where the table was saved.
    pub fn report<'a>(&'a self, path: Option<&'a Path>) -> Report<'a> {
        Report {
            gpu: &self.gpu,
            page_bytes: self.page.get(),
            colors: self.colors,
            granule_bytes: self.granule_bytes,
            slices: self.slices,
            why_not: self.why_not(),
            levels: &self.levels,
            sm_side: &self.sm_side,
            seconds: self.measured.seconds,
            table: path,
        }
    }

    /// Refuses the table of another GPU or driver; a table without a driver fits every driver. `path` is for the
    /// message.
    pub fn check_for(&self, path: &Path, uuid: GpuUuid, driver: &str) -> Result<(), TableError> {
        if self.gpu.uuid != uuid {
            return Err(TableError::OtherGpu { path: path.to_owned(), table: self.gpu.uuid, gpu: uuid });
        }
        match &self.driver {
            Some(own) if own != driver => {
                Err(TableError::OtherDriver { path: path.to_owned(), table: own.clone(), driver: driver.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The masks of the colour's bits: those of all levels that a page cannot straddle.
    fn color_masks(&self) -> impl Iterator<Item = Mask> {
        self.levels.iter().filter(|level| level.unit >= self.page).flat_map(|level| level.masks.iter().copied())
    }

    /// What no probe can have found, if anything.
    pub(crate) fn implausible(&self) -> Option<&'static str> {
        let level = |level: &Level| {
            let unit = level.masks.iter().map(|mask| mask.unit()).min();
            match () {
                () if level.masks.is_empty() || level.masks.len() > 16 => Some("a level has no or too many masks"),
                () if level.masks.iter().any(|m| m.0 == 0 || m.0 >= 1 << 52) => Some("a mask is 0 or beyond 2^52"),
                () if unit != Some(level.unit) => Some("a level's unit is not the lowest bit of its masks"),
                () if level.classes != 1 << level.masks.len() => Some("a level's classes are not 2 to its masks"),
                () if !(0.0..=1.0).contains(&level.accuracy) => Some("an accuracy is not between 0 and 1"),
                () => None,
            }
        };
        if let Some(fault) = self.levels.iter().find_map(level) {
            return Some(fault);
        }
        match () {
            () if ![Bytes::kib(4), Bytes::kib(64), Bytes::mib(2)].contains(&self.page) => Some("no such page size"),
            () if 1u32.checked_shl(self.color_masks().count() as u32) != Some(self.colors) => {
                Some("the number of colours is not 2 to the masks that pages are coloured by")
            }
            () if self.sm_side.iter().any(|&side| !(UNKNOWN_SIDE..=1).contains(&side)) => Some("no such SM side"),
            () if humantime::parse_rfc3339(&self.measured.at).is_err() => Some("no such time of measurement"),
            () => None,
        }
    }
}
