//! The name of one card among all.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A GPU's UUID, written as `GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GpuUuid(pub [u8; 16]);

/// How many bytes each group of the text form has.
const GROUPS: [usize; 5] = [4, 2, 2, 2, 6];

impl fmt::Display for GpuUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GPU")?;
        let mut rest = &self.0[..];
        for group in GROUPS {
            let (head, tail) = rest.split_at(group);
            f.write_str("-")?;
            head.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            rest = tail;
        }
        Ok(())
    }
}

/// A text that is no GPU's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a GPU's UUID: it looks like GPU-01234567-89ab-cdef-0123-456789abcdef, as `nvidia-smi -L` prints it")]
pub struct ParseGpuUuidError;

impl FromStr for GpuUuid {
    type Err = ParseGpuUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut groups = text.strip_prefix("GPU-").ok_or(ParseGpuUuidError)?.split('-');
        let mut bytes = Vec::with_capacity(16);
        for length in GROUPS {
            let group = groups.next().ok_or(ParseGpuUuidError)?;
            if group.len() != 2 * length || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(ParseGpuUuidError);
            }
            for at in (0..group.len()).step_by(2) {
                bytes.push(u8::from_str_radix(&group[at..at + 2], 16).map_err(|_| ParseGpuUuidError)?);
            }
        }
        match groups.next() {
            None => bytes.try_into().map(GpuUuid).map_err(|_| ParseGpuUuidError),
            Some(_) => Err(ParseGpuUuidError),
        }
    }
}

impl Serialize for GpuUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GpuUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_as_it_is_written() {
        let text = "GPU-01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(text.parse::<GpuUuid>().unwrap().to_string(), text);
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in ["", "GPU-", "01234567-89ab-cdef-0123-456789abcdef", "GPU-0123456789ab-cdef-0123-456789abcdef"] {
            assert_eq!(text.parse::<GpuUuid>(), Err(ParseGpuUuidError), "{text}");
        }
        assert!("GPU-01234567-89ab-cdef-0123-456789abcdef-00".parse::<GpuUuid>().is_err());
        assert!("GPU-012345-6789ab-cdef-0123-456789abcdef".parse::<GpuUuid>().is_err());
        assert!("GPU-012345+7-89ab-cdef-0123-456789abcdef".parse::<GpuUuid>().is_err());
    }
}
