//! The version of the kernel's driver, which says whether its structures are those of this library.

use abi::DriverVersion;
use once_cell::race::OnceBox;

/// The version that the driver's library told the kernel, once it did.
static TOLD: OnceBox<DriverVersion> = OnceBox::new();

/// The driver's library told the kernel its version.
pub(crate) fn told(version: DriverVersion) {
    // The two are of one release; the first is kept.
    let _ = TOLD.set(Box::new(version));
}

/// The version: what the driver's library told the kernel in a version check, or else what the kernel says of itself in
/// `/proc` (libcuda 580.159 makes no such check that is seen here).
pub(crate) fn version() -> Option<DriverVersion> {
    // Asked inside the driver's `ioctl`, perhaps by two threads at once, neither of which may wait for the other.
    static FROM_PROC: OnceBox<Option<DriverVersion>> = OnceBox::new();
    TOLD.get().copied().or_else(|| {
        *FROM_PROC.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
            Box::new(text.and_then(|text| text.split_whitespace().find_map(|word| word.parse().ok())))
        })
    })
}

/// Whether the structures of `abi` are those of the driver.
pub(crate) fn layouts_hold() -> bool {
    version().is_some_and(DriverVersion::is_supported)
}
