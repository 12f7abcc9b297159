//! Messages of the demo's processes on standard error, kept until somebody wants to know.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The file that all processes say it to.
pub struct Notes {
    written: File,
    read: File,
}

impl Notes {
    /// Makes the file.
    pub fn new(path: &Path) -> io::Result<Notes> {
        // Appending, as several processes write at a time.
        let written = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Notes { written, read: File::open(path)? })
    }

    /// The file to write to.
    pub fn file(&self) -> &File {
        &self.written
    }

    /// The messages since this was asked last, each line once.
    pub fn take(&mut self) -> String {
        let mut said = Vec::new();
        if self.read.read_to_end(&mut said).is_err() {
            // Skipped: what cannot be read now will not be read later.
            let _ = self.read.seek(SeekFrom::End(0));
        }
        let said = String::from_utf8_lossy(&said);
        let mut lines: Vec<&str> = Vec::new();
        for line in said.lines() {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_line_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut notes = Notes::new(&folder.path().join("notes")).unwrap();
        notes.file().write_all(b"one\ntwo\none\n").unwrap();
        assert_eq!(notes.take(), "one\ntwo");
        notes.file().write_all(b"three\n").unwrap();
        assert_eq!(notes.take(), "three");
    }
}
