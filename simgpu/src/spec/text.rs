//! Values that a description writes as text.

use abi::DriverVersion;
use serde::de::{Deserialize, Deserializer, Error};
use units::Bytes;

pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) fn driver<'de, D: Deserializer<'de>>(from: D) -> Result<DriverVersion, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

pub(super) fn uuid<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
    let text = String::deserialize(from)?;
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let wrong = || D::Error::custom(format_args!("{text:?} is no UUID: write 32 hexadecimal digits, with hyphens"));
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(&digits, 16).map(u128::to_be_bytes).map_err(|_| wrong())
}

pub(super) fn masks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    Vec::<String>::deserialize(from)?.iter().map(|text| parse_mask(text)).collect()
}

pub(super) fn mask<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    parse_mask(&String::deserialize(from)?)
}

fn parse_mask<E: Error>(text: &str) -> Result<u64, E> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| E::custom(format_args!("{text:?} is no mask: write it as \"0x1cbd6ab000\"")))
}

pub(super) fn pattern<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let sides: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    sides.filter(|sides| !sides.is_empty()).ok_or_else(|| {
        D::Error::custom(format_args!(
            "{text:?} is no pattern of sides: write one hexadecimal digit an SM, as \"0011\""
        ))
    })
}
