//! A copy under way, and how far it is.

use crate::broken;
use crate::cut::{Extent, Part, Parts};
use abi::cuda::{CUDA_SUCCESS, CUresult};

/// A copy, handed to the driver part by part or as it is. After an error nothing more is handed on.
pub(super) struct Copy<F> {
    whole: Option<Extent>,
    parts: Option<Parts>,
    begun: bool,
    result: CUresult,
    copy: F,
}

impl<F: FnMut(Option<Part>) -> CUresult> Copy<F> {
    /// A copy of which the driver takes parts, `whole` being all of it, or only the whole. `copy` is given a part, or
    /// none where it is to do what the caller asked for, unchanged.
    pub(super) fn new(whole: Option<Extent>, copy: F) -> Self {
        Copy { whole, parts: None, begun: false, result: CUDA_SUCCESS, copy }
    }

    /// From now on it goes in these parts.
    pub(super) fn cut(&mut self, parts: Option<Parts>) {
        self.parts = parts;
    }

    /// Hands the next part to the driver; what the driver said of it or of an earlier one.
    pub(super) fn next(&mut self) -> CUresult {
        if self.result == CUDA_SUCCESS {
            match &mut self.parts {
                Some(parts) => {
                    if let Some(part) = parts.next() {
                        self.begun = true;
                        self.result = (self.copy)(Some(shortened(part)));
                    }
                }
                None if !self.begun => {
                    self.begun = true;
                    let short = self.whole.filter(|_| broken::is("short-copy")).map(|all| shortened(all.whole()));
                    self.result = (self.copy)(short);
                }
                None => {}
            }
        }
        self.result
    }

    /// Hands what is left to the driver; an uncut copy, of nothing, too, which the driver may refuse.
    pub(super) fn rest(mut self) -> CUresult {
        if !self.begun {
            self.parts = None;
        }
        let left = self.parts.map_or(usize::from(!self.begun), Iterator::count);
        for _ in 0..left {
            self.next();
        }
        self.result
    }
}

/// The part, or one that lacks its last byte where a test asks for it.
fn shortened(mut part: Part) -> Part {
    part.extent.width -= usize::from(part.extent.width > 0 && broken::is("short-copy"));
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent() -> Extent {
        Extent::line(1024)
    }

    #[test]
    fn what_was_not_gated_goes_as_the_caller_gave_it() {
        let mut seen = Vec::new();
        let copy = Copy::new(Some(extent()), |part| {
            seen.push(part);
            CUDA_SUCCESS
        });
        assert_eq!(copy.rest(), CUDA_SUCCESS);
        assert_eq!(seen, [None]);
    }

    #[test]
    fn what_is_left_after_some_parts_is_the_rest_and_no_more() {
        let mut seen = Vec::new();
        let mut copy = Copy::new(Some(extent()), |part| {
            seen.push(part);
            CUDA_SUCCESS
        });
        copy.cut(Some(extent().parts(256)));
        copy.next();
        copy.next();
        assert_eq!(copy.rest(), CUDA_SUCCESS);
        assert_eq!(seen, extent().parts(256).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn a_copy_that_was_to_be_cut_but_was_not_begun_goes_whole() {
        let mut seen = Vec::new();
        let mut copy = Copy::new(Some(extent()), |part| {
            seen.push(part);
            CUDA_SUCCESS
        });
        copy.cut(Some(extent().parts(256)));
        copy.rest();
        assert_eq!(seen, [None]);
    }

    #[test]
    fn after_an_error_nothing_more_is_copied_and_the_error_is_the_answer() {
        let mut calls = 0;
        let mut copy = Copy::new(Some(extent()), |_| {
            calls += 1;
            1
        });
        copy.cut(Some(extent().parts(256)));
        copy.next();
        copy.next();
        assert_eq!(copy.rest(), 1);
        assert_eq!(calls, 1);
    }
}
