//! Why the arbiter could not start or could not end properly.

use region::OpenError;
use std::io;
use std::path::PathBuf;
use units::Bytes;

/// Why the arbiter could not start or could not end properly.
#[derive(Debug, thiserror::Error)]
pub enum ArbiterError {
    /// The region could not be made or taken over.
    #[error(transparent)]
    Region(#[from] OpenError),
    /// The piece size is out of range.
    #[error("a piece of {piece} is not possible: choose a size from {least} to {most}")]
    Piece {
        /// The size asked for.
        piece: Bytes,
        /// The smallest that is possible.
        least: Bytes,
        /// The largest that is possible.
        most: Bytes,
    },
    /// The means to notice that tenants die could not be had.
    #[error("cannot watch tenants ({what}): {error}; raise the limits on open files and threads and start again")]
    Watch {
        /// What the system refused.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
    /// The region's file could not be removed at the end.
    #[error("the arbiter has ended but cannot remove its region {}: {error}; remove the file by hand", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
}
