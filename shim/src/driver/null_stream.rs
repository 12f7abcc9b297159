//! The default stream that a null handle means, which the spelling of a function says.

/// The default stream that a null handle means, by the spelling of the function that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NullStream {
    Legacy,
    OfThread,
}

impl NullStream {
    /// The null stream of a function of this name: the thread's own in the `_ptsz` spelling.
    pub(crate) const fn of(function: &str) -> Self {
        let name = function.as_bytes();
        match name {
            [.., b'_', b'p', b't', b's', b'z'] => NullStream::OfThread,
            _ => NullStream::Legacy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelling_of_a_function_says_what_its_null_stream_is() {
        assert_eq!(NullStream::of("cuStreamBeginCapture_v2_ptsz"), NullStream::OfThread);
        assert_eq!(NullStream::of("cuStreamBeginCapture_v2"), NullStream::Legacy);
    }
}
