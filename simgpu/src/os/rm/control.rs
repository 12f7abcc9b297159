//! The controls of a subdevice.
//!
//! Sources: open-gpu-kernel-modules 580.142, `ctrl/ctrl2080/ctrl2080fb.h` and `ctrl2080gr.h`, and
//! `kern_mem_sys_ctrl.c` for what becomes of unknown indices.

use crate::os::user::{copy_in, update};
use crate::spec::GpuSpec;
use abi::groups::{GET_GID_INFO, GID_BINARY, GidInfo, NV_ERR_INVALID_PARAM_STRUCT};
use abi::rm::*;
use core::ffi::c_void;

/// `NV2080_CTRL_CMD_FB_GET_INFO_V2`: figures of the memory, by their indices.
const FB_INFO: u32 = 0x2080_1303;
/// The size of its parameter: a count, then so many pairs of an index and the answer.
const FB_INFO_BYTES: usize = 1028;
const FB_INFO_ENTRY: usize = 8;
/// `NV2080_CTRL_FB_INFO_INDEX_L2CACHE_SIZE`, in bytes, and `NV2080_CTRL_FB_INFO_INDEX_LTS_COUNT`, the slices of the L2.
const FB_INFO_L2CACHE_SIZE: u32 = 0x1B;
const FB_INFO_LTS_COUNT: u32 = 0x23;

/// `NV2080_CTRL_CMD_GR_GET_GLOBAL_SM_ORDER`: each SM's place, in `%smid` order.
const SM_ORDER: u32 = 0x2080_121B;
/// The size of its parameter, of one of its entries, and the places of the fields.
const SM_ORDER_BYTES: usize = 9240;
const SM_ORDER_ENTRY: usize = 18;
const SM_ORDER_COUNT: usize = 9216;
const SM_ORDER_TPCS: usize = 9218;
/// SMs of a TPC, and of a GPC that is whole.
const SMS_PER_TPC: usize = 2;
const SMS_PER_GPC: usize = 18;

/// `NV2080_CTRL_CMD_GR_SET_CTXSW_PREEMPTION_MODE`, and the size of its parameter.
pub(crate) const SET_PREEMPTION_MODE: u32 = 0x2080_1210;
pub(crate) const SET_PREEMPTION_MODE_BYTES: usize = 32;

/// Answers a question to the subdevice. None of them needs a privilege.
///
/// # Safety
/// `wanted.params` is null or points to `wanted.params_size` writable bytes.
pub(super) unsafe fn of_subdevice(spec: &GpuSpec, wanted: &Nvos54) -> Result<(), u32> {
    let (params, size) = (wanted.params as *mut c_void, wanted.params_size as usize);
    let mut answered = Ok(());
    // SAFETY: the caller answers for the pointer and its size, and any bytes are a valid array.
    let looked_at = unsafe {
        match wanted.cmd {
            FB_INFO => update(params, size, |list: &mut [u8; FB_INFO_BYTES]| answered = fb_info(spec, list)),
            SM_ORDER => update(params, size, |answer: &mut [u8; SM_ORDER_BYTES]| *answer = sm_order(spec)),
            GET_GID_INFO => {
                let answered = &mut answered;
                let found = update(params, size, |info: &mut GidInfo| *answered = gid_info(spec, info));
                return found.map_err(|_| NV_ERR_INVALID_PARAM_STRUCT).and(*answered);
            }
            SET_PREEMPTION_MODE => {
                // Kernels are preempted in the middle anyway, so there is nothing to choose.
                let looked_at = copy_in::<[u8; SET_PREEMPTION_MODE_BYTES]>(params, size);
                return looked_at.map(drop).map_err(|_| NV_ERR_INVALID_PARAM_STRUCT);
            }
            _ => return Err(NV_ERR_NOT_SUPPORTED),
        }
    };
    looked_at.map_err(|_| NV_ERR_INVALID_ARGUMENT)?;
    answered
}

/// Tells the UUID, in its binary form only.
fn gid_info(spec: &GpuSpec, info: &mut GidInfo) -> Result<(), u32> {
    if info.flags != GID_BINARY || info.index != 0 {
        return Err(NV_ERR_INVALID_ARGUMENT);
    }
    info.length = spec.uuid.len() as u32;
    info.data[..spec.uuid.len()].copy_from_slice(&spec.uuid);
    Ok(())
}

/// Fills a list in up to the first index that is not known.
fn fb_info(spec: &GpuSpec, list: &mut [u8; FB_INFO_BYTES]) -> Result<(), u32> {
    let (count, entries) = list.split_at_mut(4);
    let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]) as usize;
    if count > entries.len() / FB_INFO_ENTRY {
        return Err(NV_ERR_INVALID_ARGUMENT);
    }
    for entry in entries.chunks_exact_mut(FB_INFO_ENTRY).take(count) {
        let (index, data) = entry.split_at_mut(4);
        let value = match u32::from_le_bytes([index[0], index[1], index[2], index[3]]) {
            FB_INFO_L2CACHE_SIZE => spec.l2.get() as u32,
            FB_INFO_LTS_COUNT => spec.hash.slices(),
            _ => return Err(NV_ERR_INVALID_ARGUMENT),
        };
        data.copy_from_slice(&value.to_le_bytes());
    }
    Ok(())
}

fn sm_order(spec: &GpuSpec) -> [u8; SM_ORDER_BYTES] {
    let mut answer = [0; SM_ORDER_BYTES];
    let mut put = |at: usize, value: usize| answer[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
    let sms = spec.sms as usize;
    for sm in 0..sms {
        let (gpc, tpc) = (sm / SMS_PER_GPC, sm / SMS_PER_TPC);
        let in_gpc = sm % SMS_PER_GPC / SMS_PER_TPC;
        // gpcId, localTpcId, localSmId, globalTpcId, virtualGpcId, migratableTpcId, ugpuId, physicalCpcId,
        // virtualTpcId
        let side = spec.sm_side(sm as u32) as usize;
        let fields = [gpc, in_gpc, sm % SMS_PER_TPC, tpc, gpc, in_gpc, side, in_gpc / 3, in_gpc];
        for (i, field) in fields.into_iter().enumerate() {
            put(sm * SM_ORDER_ENTRY + 2 * i, field);
        }
    }
    put(SM_ORDER_COUNT, sms);
    put(SM_ORDER_TPCS, sms.div_ceil(SMS_PER_TPC));
    answer
}
