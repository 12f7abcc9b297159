//! Which GPUs are here, as far as that can be known without starting the driver.

use crate::simulated::SimulatedGpu;
use hashprobe::GpuUuid;
use std::fs;

/// A GPU and the driver that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGpu {
    /// The card.
    pub uuid: GpuUuid,
    /// The kernel driver's version.
    pub driver: String,
}

/// The simulated GPU where there is one, else those that the kernel driver lists.
pub fn known_gpus(simulated: Option<&SimulatedGpu>) -> Vec<KnownGpu> {
    match simulated {
        Some(gpu) => vec![KnownGpu { uuid: gpu.uuid, driver: gpu.driver.clone() }],
        None => listed_by_the_kernel(),
    }
}

/// The version of the kernel driver that is loaded.
pub fn kernel_driver() -> Option<String> {
    fs::read_to_string("/sys/module/nvidia/version").ok().map(|text| text.trim().to_owned())
}

fn listed_by_the_kernel() -> Vec<KnownGpu> {
    let (Some(driver), Ok(folders)) = (kernel_driver(), fs::read_dir("/proc/driver/nvidia/gpus")) else {
        return Vec::new();
    };
    folders
        .flatten()
        .filter_map(|folder| uuid_line(&fs::read_to_string(folder.path().join("information")).ok()?))
        .map(|uuid| KnownGpu { uuid, driver: driver.clone() })
        .collect()
}

fn uuid_line(information: &str) -> Option<GpuUuid> {
    information.lines().find_map(|line| line.strip_prefix("GPU UUID:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_is_found_in_the_kernels_listing() {
        let text = "Model: \t\t NVIDIA H200\nIRQ:   \t\t 160\nGPU UUID: \t GPU-01234567-89ab-cdef-0123-456789abcdef\n";
        assert_eq!(uuid_line(text).unwrap().to_string(), "GPU-01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(uuid_line("GPU UUID: \t GPU-????????-????-????-????-????????????"), None);
    }
}
