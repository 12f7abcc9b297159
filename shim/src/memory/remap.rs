//! Changing what a mapping of the driver's shows.

use super::backing::overlay::Overlay;
use crate::rm::call::Status;
use crate::rm::request;
use abi::uvm::MapExternalAllocation;
use std::ffi::c_int;
use units::Bytes;

/// Maps an overlay in the place of the driver's mapping.
pub(crate) fn show(fd: c_int, map: &MapExternalAllocation, overlay: &Overlay) -> Result<(), Status> {
    // The kernel splits a mapping at its own pages only, and the driver's are large (uvm_map_external.c:713).
    request::unmap(fd, map)?;
    // On the heap: 9 KiB would be a lot for a stack that is the host's.
    let mut request = Box::new(*map);
    for layer in overlay.layers(Bytes::new(map.offset), Bytes::new(map.length)) {
        request.memory = layer.donor.unwrap_or(map.memory);
        (request.base, request.length) = (map.base + layer.at.get(), layer.len.get());
        request.offset = layer.offset.get();
        request::map(fd, &mut request)?;
    }
    Ok(())
}

/// Maps the driver's own object where it was.
pub(crate) fn restore(fd: c_int, map: &MapExternalAllocation) -> Result<(), Status> {
    let mut request = Box::new(*map);
    // Pieces of 4 KiB pages split at any page, so the one map replaces whatever is there; if not, unmap and try again.
    request::map(fd, &mut request).or_else(|_| {
        // Whether it was mapped does not matter.
        let _ = request::unmap(fd, map);
        request::map(fd, &mut request)
    })
}

/// The driver's request, for a part of what it maps.
pub(crate) fn part_of(map: &MapExternalAllocation, at: Bytes, len: Bytes) -> MapExternalAllocation {
    let (base, offset) = (map.base + at.get(), map.offset + at.get());
    MapExternalAllocation { base, offset, length: len.get(), ..*map }
}
