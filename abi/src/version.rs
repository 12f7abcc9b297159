//! Driver versions, and which of them the structures here are true for.

use core::fmt;
use core::str::FromStr;

/// A driver version such as `580.159.04`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverVersion {
    /// The branch, such as 580.
    pub branch: u32,
    /// The release within the branch.
    pub release: u32,
    /// The patch within the release; 0 where the version has two parts.
    pub patch: u32,
}

impl DriverVersion {
    /// Whether the RM and UVM structures of this crate are known to hold for the driver.
    ///
    /// Source read: open-gpu-kernel-modules 580.65.06 to 580.142 (identical headers); run on 580.159.04. Other
    /// branches differ (595 changed `uvm_ioctl.h`), so only branch 580 is trusted.
    pub const fn is_supported(self) -> bool {
        self.branch == 580 && self.release >= 65
    }

    /// The version in a NUL-padded field, as `NV_ESC_CHECK_VERSION_STR` carries it.
    pub fn from_c_field(field: &[u8]) -> Option<Self> {
        let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        core::str::from_utf8(&field[..end]).ok()?.parse().ok()
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:02}", self.branch, self.release, self.patch)
    }
}

/// A text that is no driver version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseDriverVersionError;

impl fmt::Display for ParseDriverVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a driver version: two or three numbers with points, such as 580.159.04")
    }
}

impl core::error::Error for ParseDriverVersionError {}

impl FromStr for DriverVersion {
    type Err = ParseDriverVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.trim().split('.').map(|part| part.parse::<u32>());
        let mut next = || parts.next().transpose().map_err(|_| ParseDriverVersionError);
        let (branch, release, patch, rest) = (next()?, next()?, next()?, next()?);
        match (branch, release, rest) {
            (Some(branch), Some(release), None) => Ok(DriverVersion { branch, release, patch: patch.unwrap_or(0) }),
            _ => Err(ParseDriverVersionError),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn versions_are_read_as_the_driver_writes_them() {
        let version = DriverVersion::from_c_field(b"580.159.04\0\0\0garbage").expect("a version");
        assert_eq!(version, DriverVersion { branch: 580, release: 159, patch: 4 });
        assert_eq!(version.to_string(), "580.159.04");
        assert!(version.is_supported());
    }

    #[test]
    fn other_branches_are_not_trusted() {
        assert!(!"595.10".parse::<DriverVersion>().expect("a version").is_supported());
        assert!(!"535.104.05".parse::<DriverVersion>().expect("a version").is_supported());
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "580", "580.x", "1.2.3.4", "-1.2"] {
            assert!(text.parse::<DriverVersion>().is_err(), "{text}");
        }
    }
}
