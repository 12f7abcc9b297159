//! Files that tests write or read: tables made anew with something changed, descriptions of simulated GPUs.

use std::fs;
use std::path::Path;

/// Changes a table's content and gives it the checksum of the changed content.
pub fn edit_table(path: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let (_, content) = text.split_once('\n').unwrap();
    let changed = change(content);
    assert_ne!(changed, content, "the change found what it changes");
    fs::write(path, format!("checksum = \"crc32:{:08x}\"\n{changed}", crc32(changed.as_bytes()))).unwrap();
}

/// CRC-32 as in Ethernet and zip, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn described(gpu: &str) -> toml::Table {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("simgpu/gpus/{gpu}.toml")));
    text.unwrap().parse().unwrap()
}

/// The masks of a simulated GPU's sides.
pub fn masks_of(gpu: &str) -> Vec<u64> {
    let description = described(gpu);
    let masks = description["hash"]["side_masks"].as_array().unwrap();
    masks.iter().map(|mask| u64::from_str_radix(&mask.as_str().unwrap()[2..], 16).unwrap()).collect()
}

/// The side of each SM of a simulated GPU; a shorter pattern repeats.
pub fn sm_sides_of(gpu: &str) -> Vec<u32> {
    let description = described(gpu);
    let pattern: Vec<u32> = description["sm_sides"].as_str().unwrap().chars().filter_map(|c| c.to_digit(16)).collect();
    let sms = description["sms"].as_integer().unwrap() as usize;
    pattern.into_iter().cycle().take(sms).collect()
}
