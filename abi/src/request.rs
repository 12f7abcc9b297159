//! Which of the kernel's requests an `ioctl` number means.

use core::ffi::c_ulong;

/// A request to NVIDIA's kernel modules that Missile knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// An escape of the resource manager, on `/dev/nvidiactl` or `/dev/nvidiaN`.
    Rm {
        /// Which one.
        escape: RmEscape,
        /// The size of the parameter in bytes.
        size: usize,
    },
    /// A command of the unified-memory module, on `/dev/nvidia-uvm`.
    Uvm(UvmCommand),
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident: $repr:ty { $($(#[$vdoc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// The number that the kernel knows it by.
            pub const fn number(self) -> $repr {
                match self { $($name::$variant => $number,)* }
            }

            const fn from_number(number: $repr) -> Option<Self> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }
        }
    };
}

numbered! {
    /// Escapes of the resource manager (`nv_escape.h`, `nv-ioctl-numbers.h`).
    RmEscape: u32 {
        /// `NV_ESC_RM_FREE`, [`Nvos00`](crate::rm::Nvos00).
        Free = 0x29,
        /// `NV_ESC_RM_CONTROL`, [`Nvos54`](crate::rm::Nvos54).
        Control = 0x2A,
        /// `NV_ESC_RM_ALLOC`, [`Nvos21`](crate::rm::Nvos21) or [`Nvos64`](crate::rm::Nvos64).
        Alloc = 0x2B,
        /// `NV_ESC_RM_DUP_OBJECT`.
        DupObject = 0x34,
        /// `NV_ESC_CHECK_VERSION_STR`, [`VersionCheck`](crate::rm::VersionCheck).
        CheckVersion = 210,
        /// `NV_ESC_IOCTL_XFER_CMD`, [`Xfer`](crate::rm::Xfer): another request, wrapped.
        Xfer = 211,
    }
}

numbered! {
    /// Commands of the unified-memory module (`uvm_ioctl.h`, `uvm_linux_ioctl.h`).
    UvmCommand: c_ulong {
        /// `UVM_INITIALIZE`, [`Initialize`](crate::uvm::Initialize).
        Initialize = 0x3000_0001,
        /// `UVM_DEINITIALIZE`.
        Deinitialize = 0x3000_0002,
        /// `UVM_REGISTER_GPU_VASPACE`, [`RegisterGpuVaspace`](crate::uvm::RegisterGpuVaspace).
        RegisterGpuVaspace = 25,
        /// `UVM_MAP_EXTERNAL_ALLOCATION`, [`MapExternalAllocation`](crate::uvm::MapExternalAllocation).
        MapExternalAllocation = 33,
        /// `UVM_FREE`, [`Range`](crate::uvm::Range).
        Free = 34,
        /// `UVM_REGISTER_GPU`, [`RegisterGpu`](crate::uvm::RegisterGpu).
        RegisterGpu = 37,
        /// `UVM_UNMAP_EXTERNAL`, [`UnmapExternal`](crate::uvm::UnmapExternal).
        UnmapExternal = 66,
        /// `UVM_VALIDATE_VA_RANGE`, [`Range`](crate::uvm::Range).
        ValidateVaRange = 72,
        /// `UVM_CREATE_EXTERNAL_RANGE`, [`Range`](crate::uvm::Range).
        CreateExternalRange = 73,
    }
}

const RM_MAGIC: c_ulong = b'F' as c_ulong;

impl RmEscape {
    /// The `ioctl` request for a parameter of `size` bytes: both directions, magic `F`.
    pub const fn request(self, size: usize) -> c_ulong {
        3 << 30 | (size as c_ulong & 0x3FFF) << 16 | RM_MAGIC << 8 | self.number() as c_ulong
    }
}

impl Request {
    /// The request that the number means, or `None` for one that Missile does not know, of these or of other drivers.
    pub const fn decode(number: c_ulong) -> Option<Self> {
        if number >> 30 == 3 && (number >> 8) & 0xFF == RM_MAGIC {
            return match RmEscape::from_number((number & 0xFF) as u32) {
                Some(escape) => Some(Request::Rm { escape, size: ((number >> 16) & 0x3FFF) as usize }),
                None => None,
            };
        }
        match UvmCommand::from_number(number) {
            Some(command) => Some(Request::Uvm(command)),
            None => None,
        }
    }

    /// The request inside an [`RmEscape::Xfer`], given its number and size.
    pub const fn unwrap_xfer(nr: u32, size: u32) -> Option<Self> {
        match RmEscape::from_number(nr) {
            Some(escape) => Some(Request::Rm { escape, size: size as usize }),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_that_the_driver_uses() {
        assert_eq!(RmEscape::Alloc.request(48), 0xC030_462B);
        assert_eq!(RmEscape::Free.request(16), 0xC010_4629);
        assert_eq!(RmEscape::CheckVersion.request(72), 0xC048_46D2);
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(Request::decode(0xC020_462B), Some(Request::Rm { escape: RmEscape::Alloc, size: 32 }));
        assert_eq!(Request::decode(33), Some(Request::Uvm(UvmCommand::MapExternalAllocation)));
        assert_eq!(Request::decode(0x5401), None, "a terminal's request is nobody's business");
    }
}
