//! What the shim may decide about a call, as plain values that tests, logs and counters share.

/// What is to happen with a call.
#[derive(Clone, Copy)]
pub(crate) enum Decision<T> {
    /// Missile acts on it.
    Govern(T),
    /// The driver gets it as it is.
    PassThrough(Why),
}

/// Why a call passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The process did not join a region, is a forked child of one that did, or is switched off.
    NotJoined,
    /// Copies are not gated by this tenant's settings.
    CopiesOff,
    /// Nobody else wants the bus.
    Uncontended,
    /// The arbiter does not answer.
    ArbiterSilent,
    /// The stream is being captured into a graph.
    Capturing,
    /// Streams cannot wait for the region's memory on this driver.
    NoStreamGate,
    /// No GPU is current, or the region has no entry left for it.
    UnknownGpu,
    /// Colouring is off for this process, for the reason in the tenant's colour state.
    ColoringOff,
    /// The allocation is smaller or larger than the settings allow.
    OutsideSizes,
    /// The driver did not map the allocation as one whole object of its own.
    NotOneObject,
    /// The object does not lie in one stretch of VRAM.
    NotContiguous,
    /// The object's memory may be compressed, which excludes smaller pages.
    Compressible,
    /// Other GPUs see the range too.
    SharedWithPeers,
    /// The machine's map budget has no room.
    OverBudget,
    /// There is not enough free VRAM of the right colour.
    NoDonor,
    /// The kernel refused a map call; the range is as the driver made it.
    MapFailed,
}
