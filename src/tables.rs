//! Probed tables: those that a tenant will use, checked, and those that the arbiter publishes.

use crate::known_gpus::KnownGpu;
use hashprobe::{GpuUuid, Table, TableError};
use region::{GpuKey, HashTable, Tpcs};
use settings::{ColorChoice, Settings};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Checks the table that a tenant with these settings will use on one of the GPUs. That there is none is no error: the
/// tenant then runs uncoloured.
pub fn check(settings: &Settings, data_folder: &Path, gpus: &[KnownGpu]) -> Result<(), TableError> {
    if settings.color == ColorChoice::Off || settings.disable {
        return Ok(());
    }
    if let Some(path) = &settings.table {
        let table = Table::load(path)?;
        let same = gpus.iter().find(|gpu| gpu.uuid == table.gpu().uuid);
        return match same.or(gpus.first()) {
            Some(gpu) => table.check_for(path, gpu.uuid, &gpu.driver),
            None => Ok(()),
        };
    }
    for gpu in gpus {
        let path = Table::default_path(data_folder, gpu.uuid);
        if path.exists() {
            Table::load(&path)?.check_for(&path, gpu.uuid, &gpu.driver)?;
        }
    }
    Ok(())
}

/// The tables that an arbiter publishes: the file that `MISSILE_TABLE` names, and all of the data folder. Files are
/// read again only when one changed; what is no table is skipped, with a line on standard error.
#[derive(Debug, Default)]
pub struct TableFolder {
    read: Vec<Version>,
    /// The GPUs of which a table was read.
    known: Vec<GpuKey>,
    hashes: Vec<(GpuKey, HashTable)>,
    tpcs: Vec<(GpuKey, Tpcs)>,
}

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    path: PathBuf,
    changed: Option<SystemTime>,
    bytes: u64,
}

impl scheduler::Tables for TableFolder {
    fn hashes(&mut self) -> Vec<(GpuKey, HashTable)> {
        let get = |name: &str| std::env::var_os(name);
        let chosen = Settings::read(&get).0.table;
        let files = chosen.into_iter().chain(files(&settings::tables_folder(&get)));
        self.update(files.filter_map(version).collect(), &mut |error| eprintln!("missile: {error}"));
        self.hashes.clone()
    }

    fn tpcs(&self) -> Vec<(GpuKey, Tpcs)> {
        self.tpcs.clone()
    }
}

impl TableFolder {
    fn update(&mut self, files: Vec<Version>, complain: &mut dyn FnMut(TableError)) {
        if files == self.read {
            return;
        }
        self.known.clear();
        self.hashes.clear();
        self.tpcs.clear();
        for file in &files {
            match Table::load(&file.path) {
                Ok(table) => self.add(&table),
                Err(error) if !self.read.contains(file) => complain(error),
                Err(_) => {}
            }
        }
        self.read = files;
    }

    fn add(&mut self, table: &Table) {
        let GpuUuid(uuid) = table.gpu().uuid;
        let key = GpuKey::from_uuid(uuid);
        // The chosen table comes first, and holds.
        if !self.known.contains(&key) {
            self.known.push(key);
            self.hashes.extend(hash_of(table).map(|hash| (key, hash)));
            self.tpcs.extend(table.tpcs().and_then(published).map(|tpcs| (key, tpcs)));
        }
    }
}

fn version(path: PathBuf) -> Option<Version> {
    let found = std::fs::metadata(&path).ok()?;
    Some(Version { path, changed: found.modified().ok(), bytes: found.len() })
}

/// The masks that pages are coloured by; `None` where the table has only one colour, or its colours follow no XOR.
fn hash_of(table: &Table) -> Option<HashTable> {
    let masks: Vec<u64> = table.color_masks()?.iter().map(|mask| mask.0).collect();
    let by_side = table.color_level().is_some_and(|level| level.name == "side");
    Some(HashTable::new(u32::try_from(table.page().get()).ok()?, &masks)?.of_sides(by_side))
}

/// The TPCs as the region has them.
fn published(tpcs: &hashprobe::Tpcs) -> Option<Tpcs> {
    let bits = |side: usize| tpcs.sides.get(side).map_or(0, |side| side.0);
    Tpcs::new([bits(0), bits(1)], tpcs.sms_of_each)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("GPU-1.toml");
        std::fs::write(&path, "not a table").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not even meant to be one").unwrap();
        let mut tables = TableFolder::default();
        let mut complaints = Vec::new();
        for _ in 0..2 {
            let files = files(folder.path()).into_iter().filter_map(version).collect();
            tables.update(files, &mut |error| complaints.push(error.to_string()));
        }
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("GPU-1.toml"), "{complaints:?}");
        assert!(tables.hashes.is_empty());
    }
    #[test]
    fn the_bits_of_each_side_are_published() {
        let tpcs = |sides: &[u128]| hashprobe::Tpcs {
            sides: sides.iter().map(|&bits| hashprobe::TpcBits(bits)).collect(),
            sms_of_each: 2,
        };
        assert_eq!(published(&tpcs(&[5, 10])), Tpcs::new([5, 10], 2));
        assert_eq!(published(&tpcs(&[15])), Tpcs::new([15, 0], 2));
    }
}
