//! Having the driver announce launches to this library.
//!
//! Tools follow launches by the same table (CUPTI, Nsight, compute-sanitizer), each with a subscription of its own. Nothing
//! is taken from them: where the driver has no place for one more, masks are off.

use super::announced;
use super::state::Off;
use crate::base::lock::Lock;
use crate::driver::calls;
use crate::driver::query::checked;
use abi::qmd::{self, EnableFn, SubscribeFn};
use std::ffi::c_void;

/// Whether it was asked for, and what came of it.
static SUBSCRIBED: Lock<Option<Result<(), Off>>> = Lock::new(None);

/// Makes sure that the driver announces launches. Asks once a process.
pub(super) fn subscribe() -> Result<(), Off> {
    *SUBSCRIBED.lock().get_or_insert_with(ask)
}

fn ask() -> Result<(), Off> {
    let get = calls::cuGetExportTable.get().ok_or(Off::OtherTable)?;
    let mut table = std::ptr::null();
    // SAFETY: the function writes the address of a table, or fails; the name has 16 bytes.
    checked(unsafe { get(&mut table, qmd::SUBSCRIBERS.as_ptr().cast()) }).map_err(Off::NoTable)?;
    // SAFETY: the driver gave the table under this name, which begins with its size and lives as long as the driver.
    let (subscribe, enable) = unsafe { functions(table.cast()) }.ok_or(Off::OtherTable)?;
    let mut subscriber = 0;
    // SAFETY: the driver's function of this place in the table; it writes a number. The callback is there for as long as
    // this library, which is never unloaded.
    match unsafe { subscribe(&mut subscriber, announced::launch, std::ptr::null_mut()) } {
        0 => {}
        code => return Err(Off::NotSubscribed(code)),
    }
    // SAFETY: as above; it takes numbers.
    match unsafe { enable(1, subscriber, qmd::DOMAIN, qmd::LAUNCH) } {
        0 => Ok(()),
        code => Err(Off::NotEnabled(code)),
    }
}

/// The two functions of a table that are needed. `None` where it has them not.
///
/// # Safety
/// `table` is null or the table of [`qmd::SUBSCRIBERS`]: its size in bytes, and as many words less one.
unsafe fn functions(table: *const usize) -> Option<(SubscribeFn, EnableFn)> {
    if table.is_null() || !table.is_aligned() {
        return None;
    }
    let word = |at: usize| {
        // SAFETY: the function's contract: the first word is there, and the others as far as it says.
        let has = unsafe { table.read() } / size_of::<usize>();
        // SAFETY: as above.
        (at < has).then(|| unsafe { table.add(at).cast::<*const c_void>().read() }).filter(|word| !word.is_null())
    };
    let (subscribe, enable) = (word(qmd::SUBSCRIBE)?, word(qmd::ENABLE)?);
    // SAFETY: the words at these places are functions of these types in the table of this name.
    Some(unsafe {
        (
            std::mem::transmute::<*const c_void, SubscribeFn>(subscribe),
            std::mem::transmute::<*const c_void, EnableFn>(enable),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of so many words behind its size, all of which lead somewhere.
    fn table(words: usize) -> Vec<usize> {
        let mut table = vec![0x1000; 1 + words];
        table[0] = table.len() * size_of::<usize>();
        table
    }

    fn has_functions(table: &[usize]) -> bool {
        // SAFETY: the table has as many words as it says, or fewer are looked at.
        unsafe { functions(table.as_ptr()) }.is_some()
    }

    #[test]
    fn a_table_that_reaches_to_both_functions_has_them() {
        assert!(has_functions(&table(qmd::ENABLE)));
        assert!(!has_functions(&table(qmd::ENABLE - 1)), "it ends before the last one");
        assert!(!has_functions(&[0]));
    }

    #[test]
    fn a_table_without_one_of_them_is_another_table() {
        for missing in [qmd::SUBSCRIBE, qmd::ENABLE] {
            let mut table = table(8);
            table[missing] = 0;
            assert!(!has_functions(&table));
        }
        // SAFETY: null is what the driver may answer.
        assert!(unsafe { functions(std::ptr::null()) }.is_none());
    }
}
