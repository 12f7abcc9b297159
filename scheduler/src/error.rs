//! The arbiter's reasons not to start, or not to end properly.

use region::OpenError;
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// A reason not to start, or not to end properly.
#[derive(Debug, thiserror::Error)]
pub enum ArbiterError {
    /// The region could not be made or taken over.
    #[error(transparent)]
    Region(#[from] OpenError),
    /// So many tenants cannot have shares of the maps.
    #[error("{tenants} tenants cannot have shares of the map budget: choose from 1 to {}", region::SLOTS)]
    MapTenants {
        /// The number asked for.
        tenants: u64,
    },
    /// The shares of the maps are empty.
    #[error(
        "half of a map budget of {budget} has no maps for each of {tenants} tenants: choose a budget of {} or more, or \
         fewer tenants",
        2 * tenants
    )]
    MapBudget {
        /// The budget asked for.
        budget: u64,
        /// The number of tenants asked for.
        tenants: u64,
    },
    /// The tenants of a region that is taken over hold too much for the shares asked for.
    #[error(
        "the tenants of the former arbiter hold too many maps to share the budget like this: start as it was, \
         with `--map-budget {budget} --map-tenants {tenants}`, or end them first"
    )]
    MapsHeld {
        /// The former budget.
        budget: u64,
        /// The former number of tenants with shares.
        tenants: u64,
    },
    /// The means to notice that tenants die could not be had.
    #[error("cannot watch tenants ({what}): {error}; raise the limits on open files and threads and start again")]
    Watch {
        /// The thing that the system refused.
        what: &'static str,
        /// Its answer.
        error: io::Error,
    },
    /// The work beside the arbiter could not be started.
    #[error("{0}")]
    Beside(Box<dyn Error + Send + Sync>),
    /// The region's file could not be removed at the end.
    #[error("the arbiter has ended but cannot remove its region {}: {error}; remove the file by hand", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
}
