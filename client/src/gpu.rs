//! A GPU and what the driver tells of it.

use crate::{Context, DriverError};
use cudarc::driver::{result, sys};
use sys::CUdevice_attribute as Attribute;
use units::Bytes;

/// A GPU that the driver shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    device: sys::CUdevice,
}

impl Gpu {
    /// A GPU by the handle that the driver gave.
    pub(crate) fn new(device: sys::CUdevice) -> Gpu {
        Gpu { device }
    }

    pub(crate) fn device(self) -> sys::CUdevice {
        self.device
    }

    /// The product's name.
    pub fn name(self) -> Result<String, DriverError> {
        result::device::get_name(self.device).map_err(DriverError::of("cuDeviceGetName"))
    }

    /// The UUID, which tells this card (or this part of one) from every other.
    pub fn uuid(self) -> Result<[u8; 16], DriverError> {
        let uuid = result::device::get_uuid(self.device).map_err(DriverError::of("cuDeviceGetUuid_v2"))?;
        Ok(uuid.bytes.map(|byte| byte as u8))
    }

    /// The number of SMs.
    pub fn sms(self) -> Result<u32, DriverError> {
        self.number(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
    }

    /// The SMs' highest clock rate in kHz.
    pub fn clock_khz(self) -> Result<u32, DriverError> {
        self.number(Attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)
    }

    /// The shared memory of an SM.
    pub fn shared_memory_of_an_sm(self) -> Result<Bytes, DriverError> {
        self.bytes(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR)
    }

    /// The most shared memory that a block gets if its kernel asks for it.
    pub fn shared_memory_of_a_block(self) -> Result<Bytes, DriverError> {
        self.bytes(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
    }

    /// The rule for who may use the GPU at the same time, as cuda.h's `CUcomputemode`.
    pub fn compute_mode(self) -> Result<i32, DriverError> {
        self.attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE)
    }

    /// Whether MPS has contexts of several processes share the GPU; `None` for a driver that does not say.
    pub fn is_under_mps(self) -> Option<bool> {
        self.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MPS_ENABLED).ok().map(|enabled| enabled != 0)
    }

    /// Retains the primary context and makes it the calling thread's.
    pub fn primary_context(self) -> Result<Context, DriverError> {
        Context::retain(self)
    }

    fn attribute(self, attribute: Attribute) -> Result<i32, DriverError> {
        // SAFETY: the device is the driver's own.
        let value = unsafe { result::device::get_attribute(self.device, attribute) };
        value.map_err(DriverError::of("cuDeviceGetAttribute"))
    }

    fn number(self, attribute: Attribute) -> Result<u32, DriverError> {
        Ok(u32::try_from(self.attribute(attribute)?).unwrap_or(0))
    }

    fn bytes(self, attribute: Attribute) -> Result<Bytes, DriverError> {
        Ok(Bytes::new(self.number(attribute)?.into()))
    }
}
