//! Names that begin like a variable of Missile's and are none.

use settings::{INTERNAL, VARIABLES};
use std::ffi::OsString;
use std::fmt;

/// A variable that nothing reads: misspelt, or of another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name.
    pub name: String,
    /// The known name that it is most like.
    pub nearest: &'static str,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a variable of Missile: did you mean {}?", self.name, self.nearest)
    }
}

/// The unknown ones among the names of variables.
pub fn unknown(names: impl Iterator<Item = OsString>) -> Vec<Unknown> {
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let strange = names.filter(|name| name.starts_with("MISSILE_") && !known().any(|known| known == name));
    strange.map(|name| Unknown { nearest: nearest(&name), name }).collect()
}

fn known() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|variable| variable.name).chain(INTERNAL.iter().map(|internal| internal.name))
}

/// The tenant's variable that a name is most like.
fn nearest(name: &str) -> &'static str {
    let names = VARIABLES.iter().map(|variable| variable.name);
    names.min_by_key(|known| strsim::damerau_levenshtein(name, known)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown_in(names: &[&str]) -> Vec<(String, &'static str)> {
        unknown(names.iter().map(OsString::from)).into_iter().map(|it| (it.name, it.nearest)).collect()
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_right_one() {
        for (misspelt, right) in [("MISSILE_COLOUR", "MISSILE_COLOR"), ("MISSILE_WIEGHT", "MISSILE_WEIGHT")] {
            assert_eq!(unknown_in(&["PATH", misspelt]), [(misspelt.to_owned(), right)]);
        }
    }

    #[test]
    fn what_anything_of_missile_reads_is_known() {
        assert_eq!(unknown_in(&["MISSILE_COLOR", "MISSILE_LIB_DIR", "MISSILE_BREAK", "SIMGPU_GPU", "PATH"]), []);
    }
}
