//! The file beside the region that says where metrics are, as port 0 and whoever asks later leave it open.

use super::address::MetricsAddress;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// More than the longest address has.
const LONGEST: u64 = 1024;

/// The file, while an arbiter lives. Removed when dropped.
pub(crate) struct Note(PathBuf);

impl Note {
    /// Says where the metrics of the region's arbiter are. What a dead arbiter said is replaced.
    pub(crate) fn write(region: &Path, address: &MetricsAddress) -> io::Result<Note> {
        let note = Note::forget(region)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&note.0)?;
        writeln!(file, "{address}")?;
        Ok(note)
    }

    /// Removes what a dead arbiter said.
    pub(crate) fn forget(region: &Path) -> io::Result<Note> {
        let note = Note(path(region));
        match fs::remove_file(&note.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(note),
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The address at which the arbiter that holds the region serves its metrics, if it does. Only a living one's answer counts.
pub fn metrics_of(region: &Path) -> Option<String> {
    let mut said = String::new();
    fs::File::open(path(region)).ok()?.take(LONGEST).read_to_string(&mut said).ok()?;
    said.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
}

fn path(region: &Path) -> PathBuf {
    region.with_extension("metrics")
}
