//! Table files: a first line with the checksum of all that follows, then the table in TOML. The data of lookups lie in
//! files beside it.

use crate::table::VERSION;
use crate::{GpuUuid, Lut, LutInfo, Table};
use serde::Deserialize;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why a table is refused, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot read the table {}: {source}; run `missile probe` to make one", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the table {}: {source}; choose another place with `missile probe --out`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is of a format that this version does not read.
    #[error(
        "the table {} has version {found}, this program reads {VERSION}: run `missile probe` to make it anew",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The content is not what was saved.
    #[error("the table {} was changed or damaged ({what}): run `missile probe` to make it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: String,
    },
    /// The content is whole, but no probe can have found it.
    #[error("the table {} cannot be true ({what}): run `missile probe` to make it anew", path.display())]
    Implausible {
        /// The file.
        path: PathBuf,
        /// The fault.
        what: &'static str,
    },
    /// The table is of another card.
    #[error("the table {} is of {table}, but this GPU is {gpu}: run `missile probe` on this one", path.display())]
    OtherGpu {
        /// The file.
        path: PathBuf,
        /// The card that it is of.
        table: GpuUuid,
        /// The card here.
        gpu: GpuUuid,
    },
    /// The table was measured with another driver.
    #[error(
        "the table {} was measured with driver {table}, but this is driver {driver}: run `missile probe` again",
        path.display()
    )]
    OtherDriver {
        /// The file.
        path: PathBuf,
        /// The driver that it was measured with.
        table: String,
        /// The driver here.
        driver: String,
    },
}

/// The part of a table that all versions have.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Table {
    /// Writes the table, and the folder where there is none: afterwards the file is either the new one or, on an
    /// error, what it was before. The data of lookups are written first, into files of their own beside it, whose names
    /// have the data's checksum in them.
    pub fn save(&self, path: &Path) -> Result<(), TableError> {
        let write = |path: &Path, content: &[u8]| {
            write_whole(path, content).map_err(|source| TableError::Write { path: path.to_owned(), source })
        };
        for level in self.levels() {
            if let (Some(info), Some(lut)) = (&level.lookup, &level.lut) {
                write(&data_path(path, &level.name, info), &lut.to_bytes())?;
            }
        }
        write(path, self.to_text().as_bytes())
    }

    /// Reads a table and refuses one that is damaged or cannot be true. Whether it is of this GPU is for
    /// [`Table::check_for`].
    pub fn load(path: &Path) -> Result<Table, TableError> {
        let text = fs::read_to_string(path).map_err(|source| TableError::Read { path: path.to_owned(), source })?;
        let damaged = |what: &dyn ToString| TableError::Damaged { path: path.to_owned(), what: what.to_string() };
        let (first, content) = text.split_once('\n').ok_or_else(|| damaged(&"it is too short"))?;
        let Versioned { version } = toml::from_str(content).map_err(|error| damaged(&error.message()))?;
        if version != VERSION {
            return Err(TableError::Version { path: path.to_owned(), found: version });
        }
        if first != checksum_line(content) {
            return Err(damaged(&"its checksum is wrong"));
        }
        let mut table: Table = toml::from_str(content).map_err(|error| damaged(&error.message()))?;
        for level in table.levels_mut() {
            let Some(info) = &level.lookup else { continue };
            if !level.name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(TableError::Implausible { path: path.to_owned(), what: "a level has no such name" });
            }
            let data = data_path(path, &level.name, info);
            let bytes = fs::read(&data).map_err(|source| TableError::Read { path: data.clone(), source })?;
            let lut = Lut::from_bytes(&bytes)
                .map_err(|error| TableError::Damaged { path: data.clone(), what: error.to_string() })?;
            if lut.info() != *info {
                return Err(TableError::Damaged { path: data, what: "it is of another table".to_owned() });
            }
            level.lut = Some(lut);
        }
        match table.implausible() {
            Some(what) => Err(TableError::Implausible { path: path.to_owned(), what }),
            None => Ok(table),
        }
    }

    fn to_text(&self) -> String {
        let content = toml::to_string(self).expect("a table has only keys and values that TOML knows");
        format!("{}\n{content}", checksum_line(&content))
    }
}

fn checksum_line(content: &str) -> String {
    format!("checksum = \"crc32:{:08x}\"", crc32fast::hash(content.as_bytes()))
}

/// The path of a lookup's data, beside the table.
fn data_path(table: &Path, level: &str, info: &LutInfo) -> PathBuf {
    table.with_extension(format!("{level}-{:08x}.lut", info.crc32))
}

/// Writes a file under another name in the same folder, then renames it.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Tenants of other users read it.
    let readable = Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new().prefix(".table-").permissions(readable).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}
