//! The answer of a probe, as the table file holds it.

use crate::colors::{self, PageColors};
use crate::level::{Level, Mask, hex_address, plain_bytes};
use crate::{Finding, Function, GpuInfo, GpuUuid, Report, TableError, Tpcs, XorHash};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use units::{Bytes, PhysAddr};

/// The format that this crate writes and reads.
pub(crate) const VERSION: u32 = 2;
/// No SM side is known.
const UNKNOWN_SIDE: i32 = -1;

/// The GPU that a table is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuEntry {
    /// The name of the product.
    pub name: String,
    /// The number that tells the card from every other.
    pub uuid: GpuUuid,
    /// The number of SMs.
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
    /// From how many lines the side was solved.
    pub samples: u64,
    /// On how many others it was checked.
    pub held_out: u64,
    /// From how many lines slices and channels were found.
    pub slice_lines: u64,
    /// How many units among these look like no slice that was found; no accuracy counts them. `None` in tables of
    /// before they were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strange_units: Option<u64>,
    /// How many tries a line.
    pub reps: u32,
    /// How much memory the lines were taken from.
    #[serde(rename = "memory_bytes", with = "plain_bytes")]
    pub memory: Bytes,
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
    color_level: Option<String>,
    granule_bytes: Option<u64>,
    interleave_bytes: Option<u64>,
    slices: Option<u32>,
    why_not: Option<String>,
    /// Why there are no TPCs; `None` where there are, and in tables of before they were looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why_no_tpcs: Option<String>,
    sm_side: Vec<i32>,
    gpu: GpuEntry,
    measured: Measured,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tpcs: Option<Tpcs>,
    #[serde(default)]
    pages: Vec<PageColors>,
    #[serde(default)]
    levels: Vec<Level>,
}

impl Table {
    /// The table for a finding of this moment.
    pub fn new(finding: &Finding, at: SystemTime) -> Table {
        let GpuInfo { name, uuid, sms, driver } = finding.gpu.clone();
        let side = |side: &Option<u32>| side.map_or(UNKNOWN_SIDE, |side| side as i32);
        let layout = finding.layout.as_ref().map(|layout| &layout.structure);
        Table {
            version: VERSION,
            driver,
            page: finding.page,
            colors: finding.colors,
            color_level: finding.color_level.map(|level| finding.levels[level].name.clone()),
            granule_bytes: layout.map(|structure| structure.unit.get()),
            interleave_bytes: layout.map(|structure| structure.interleave.get()),
            slices: layout.map(|structure| structure.slices as u32),
            why_not: finding.uncolorable.map(|reason| reason.to_string()),
            why_no_tpcs: finding.tpcs.as_ref().err().map(|reason| reason.to_string()),
            sm_side: finding.sm_side.iter().map(side).collect(),
            gpu: GpuEntry { name, uuid, sms },
            measured: Measured {
                at: humantime::format_rfc3339_seconds(at).to_string(),
                seconds: finding.took.as_secs_f64(),
                samples: finding.effort.samples as u64,
                held_out: finding.effort.held_out as u64,
                slice_lines: finding.effort.slice_lines as u64,
                strange_units: Some(finding.effort.strange_units as u64),
                reps: finding.effort.reps,
                memory: finding.effort.memory,
                highest: finding.effort.highest,
            },
            tpcs: finding.tpcs.clone().ok(),
            pages: finding.pages.clone(),
            levels: finding.levels.clone(),
        }
    }

    /// The path of a GPU's table in a data folder, unless a person says otherwise.
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

    /// The level that pages are coloured by; `None` where there is only one colour.
    pub fn color_level(&self) -> Option<&Level> {
        let name = self.color_level.as_ref()?;
        self.levels.iter().find(|level| level.name == *name)
    }

    /// The colours of every usable level at every page size.
    pub fn pages(&self) -> &[PageColors] {
        &self.pages
    }

    /// How many slices the L2 has, where they could be told apart.
    pub fn slices(&self) -> Option<u32> {
        self.slices
    }

    /// The bytes below which an address stays on the same slices, and those below which it stays on the same one.
    pub fn granule(&self) -> Option<(Bytes, Bytes)> {
        self.granule_bytes.zip(self.interleave_bytes).map(|(unit, one)| (Bytes::new(unit), Bytes::new(one)))
    }

    /// The TPCs by their bits in a launch's mask; `None` where launches have no masks.
    pub fn tpcs(&self) -> Option<&Tpcs> {
        self.tpcs.as_ref()
    }

    /// Takes over the TPCs of a former table of the same card, driver and sides, as their bits stay what they are.
    #[must_use]
    pub fn with_tpcs_of(mut self, former: &Table) -> Table {
        let sides = |table: &Table| table.levels.iter().find(|level| level.name == "side").map(|of| of.masks.clone());
        let same = self.gpu == former.gpu && self.driver == former.driver && sides(&self) == sides(former);
        if let Some(tpcs) = former.tpcs.as_ref().filter(|_| same) {
            (self.tpcs, self.why_no_tpcs) = (Some(tpcs.clone()), None);
        }
        self
    }

    /// Why there are no TPCs, where they were looked for in vain.
    pub fn why_no_tpcs(&self) -> Option<&str> {
        self.why_no_tpcs.as_deref()
    }

    /// How many SMs have been placed on each side.
    pub fn sms_by_side(&self) -> [usize; 2] {
        [0, 1].map(|side| self.sm_side.iter().filter(|&&of| of == side).count())
    }

    /// The masks whose parities are the bits of a page's colour; `None` where there is one colour only, or colours
    /// follow no XOR.
    pub fn color_masks(&self) -> Option<Vec<Mask>> {
        match self.color_level()?.function()? {
            Function::Xor(hash) => Some(colors::color_masks(&hash, self.page)),
            _ => None,
        }
    }

    /// The colour of the page that an address lies in; `None` where that is not known.
    pub fn color_of(&self, address: PhysAddr) -> Option<u32> {
        let Some(level) = self.color_level() else { return Some(0) };
        match self.color_masks() {
            Some(masks) => Some(XorHash { masks }.class_of(address)),
            None => {
                let class = level.function()?.class_of(address)?;
                level.color_of_class.get(class as usize).copied().filter(|&color| color < self.colors)
            }
        }
    }

    /// The output of `missile probe --json`; `path` is where the table was saved.
    pub fn report<'a>(&'a self, path: Option<&'a Path>) -> Report<'a> {
        Report {
            gpu: &self.gpu,
            page_bytes: self.page.get(),
            colors: self.colors,
            color_level: self.color_level.as_deref(),
            granule_bytes: self.granule_bytes,
            interleave_bytes: self.interleave_bytes,
            slices: self.slices,
            why_not: self.why_not(),
            pages: &self.pages,
            levels: &self.levels,
            sm_side: &self.sm_side,
            tpcs: self.tpcs(),
            why_no_tpcs: self.why_no_tpcs(),
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

    /// Names a content that no probe can have found, if there is one.
    pub(crate) fn implausible(&self) -> Option<&'static str> {
        if let Some(fault) = self.levels.iter().find_map(Level::implausible) {
            return Some(fault);
        }
        if let Some(fault) = self.tpcs.as_ref().and_then(|tpcs| tpcs.implausible(self.gpu.sms)) {
            return Some(fault);
        }
        let level = self.color_level();
        let counted = match (level, self.color_masks()) {
            (None, _) => self.colors == 1,
            (Some(_), Some(masks)) => 1u32.checked_shl(masks.len() as u32) == Some(self.colors),
            // The colour of a class that no page touches is their number.
            (Some(level), None) => {
                let known = (0..self.colors).all(|color| level.color_of_class.contains(&color));
                known && level.color_of_class.iter().all(|&color| color <= self.colors)
            }
        };
        match () {
            () if ![Bytes::kib(4), Bytes::kib(64), Bytes::mib(2)].contains(&self.page) => Some("no such page size"),
            () if level.is_none() && self.color_level.is_some() => {
                Some("pages are coloured by a level that is missing")
            }
            () if level.is_some_and(|level| !level.usable) => Some("pages are coloured by a level that is not usable"),
            () if !counted => Some("the number of colours is not that of the level that pages are coloured by"),
            () if self.sm_side.iter().any(|&side| !(UNKNOWN_SIDE..=1).contains(&side)) => Some("no such SM side"),
            () if humantime::parse_rfc3339(&self.measured.at).is_err() => Some("no such time of measurement"),
            () => None,
        }
    }

    /// The levels, for what lies in files of their own.
    pub(crate) fn levels_mut(&mut self) -> &mut [Level] {
        &mut self.levels
    }
}
