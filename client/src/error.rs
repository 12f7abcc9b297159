//! Failures of the driver, with what to do about each.

use abi::cuda;
use cudarc::driver::result;

/// The driver cannot be used, or refused a call.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is no driver.
    #[error(
        "the CUDA driver cannot be loaded ({0}): install the NVIDIA driver, or use a simulated GPU with --sim h200"
    )]
    NoLibrary(#[source] libloading::Error),
    /// Two different libraries are called like the driver.
    #[error(
        "{name} is another library than the driver's libcuda.so.1: take its folder, such as `stubs` of the CUDA toolkit, \
         out of LD_LIBRARY_PATH"
    )]
    TwoLibraries {
        /// The name under which the other one is found.
        name: String,
    },
    /// The driver's library lacks a function.
    #[error("the CUDA driver has no {function} ({source}): install a newer NVIDIA driver")]
    NoFunction {
        /// The function's exported name.
        function: &'static str,
        /// The dynamic linker's words.
        source: libloading::Error,
    },
    /// The GPU asked for is not there.
    #[error("there is no GPU {index}: this machine has {count}; `nvidia-smi -L` lists them")]
    NoSuchGpu {
        /// The ordinal asked for.
        index: u32,
        /// The number of GPUs.
        count: u32,
    },
    /// The driver refused a call.
    #[error("{call} failed with {name} ({code}): {}", advice(*.code))]
    Refused {
        /// The function, under cuda.h's name.
        call: &'static str,
        /// Its answer, a `CUresult` of cuda.h.
        code: u32,
        /// The driver's name for the answer.
        name: String,
    },
}

/// The name of an answer that the driver itself has no name for.
pub(crate) const UNKNOWN: &str = "an unknown error";

impl DriverError {
    /// Turns cudarc's error of a call into one that names the call.
    pub(crate) fn of(call: &'static str) -> impl FnOnce(result::DriverError) -> DriverError {
        move |error| {
            let name = error.error_name().map_or_else(|_| UNKNOWN.into(), |name| name.to_string_lossy());
            DriverError::Refused { call, code: error.0 as u32, name: name.into_owned() }
        }
    }

    /// Whether the machine has no GPU to work on, so that trying again is of no use.
    pub fn is_absence(&self) -> bool {
        const CODES: [u32; 3] =
            [cuda::CUDA_ERROR_NO_DEVICE, cuda::CUDA_ERROR_NOT_SUPPORTED, cuda::CUDA_ERROR_SYSTEM_NOT_READY];
        match self {
            DriverError::Refused { call, code, .. } => *call == "cuInit" || CODES.contains(code),
            _ => true,
        }
    }

    /// Whether too little memory is free on the GPU.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, DriverError::Refused { code: cuda::CUDA_ERROR_OUT_OF_MEMORY, .. })
    }
}

/// The advice on a refusal.
fn advice(code: u32) -> &'static str {
    const NO_BINARY_FOR_GPU: u32 = 209;
    const INVALID_PTX: u32 = 218;
    const UNSUPPORTED_PTX_VERSION: u32 = 222;
    match code {
        cuda::CUDA_ERROR_OUT_OF_MEMORY => "end the other programs that use the GPU, then try again",
        cuda::CUDA_ERROR_NO_DEVICE => "check with `nvidia-smi` that a GPU is there, and CUDA_VISIBLE_DEVICES",
        cuda::CUDA_ERROR_SYSTEM_NOT_READY => "`missile doctor` says what is missing",
        NO_BINARY_FOR_GPU | INVALID_PTX | UNSUPPORTED_PTX_VERSION => {
            "the driver cannot build the kernel: a GPU from Pascal on and a driver from CUDA 9 on are needed"
        }
        cuda::CUDA_ERROR_ILLEGAL_ADDRESS => "the GPU's memory changed under the kernel: try again",
        _ => "run `missile doctor`, look into `dmesg` for lines with NVRM, then try again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_the_call_the_code_its_name_and_what_to_do() {
        let error = DriverError::Refused { call: "cuMemAlloc", code: 2, name: "CUDA_ERROR_OUT_OF_MEMORY".into() };
        let said = error.to_string();
        for part in ["cuMemAlloc", "CUDA_ERROR_OUT_OF_MEMORY", "(2)", "end the other programs"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(error.is_out_of_memory() && !error.is_absence());
    }

    #[test]
    fn a_driver_that_does_not_start_is_an_absence() {
        let error = DriverError::Refused { call: "cuInit", code: 100, name: "CUDA_ERROR_NO_DEVICE".into() };
        assert!(error.is_absence());
        assert!(DriverError::NoSuchGpu { index: 1, count: 1 }.is_absence());
    }
}
