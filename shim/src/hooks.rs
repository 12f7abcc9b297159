//! The hooks, by class and kind. Each announces what the call is, decides, and forwards to the driver.

pub(crate) mod alloc;
pub(crate) mod copy;
pub(crate) mod export;
pub(crate) mod free;
pub(crate) mod init;
pub(crate) mod launch;
pub(crate) mod resolver;
pub(crate) mod stream;

/// Governs one call: `govern!(class kind name, real, forward, (arguments))`. `forward` calls the driver with the
/// caller's arguments; `real` is the driver's function, for hooks that pass a range on in pieces.
///
/// Kinds without a line of their own have nothing to decide: being seen is what the library needs of them, so that
/// what the driver asks of the kernel meanwhile is known to be announced.
macro_rules! govern {
    (init begin $name:ident, $real:ident, $forward:ident, ($flags:ident)) => {
        hooks::init::begin($forward)
    };
    (resolver $kind:ident $name:ident, $real:ident, $forward:ident, ($symbol:ident, $pfn:ident, $($more:ident),*)) => {
        hooks::resolver::answered($forward, $pfn)
    };
    (alloc linear $name:ident, $real:ident, $forward:ident, ($dptr:ident, $bytes:ident)) => {
        hooks::alloc::linear($forward, $dptr, $bytes)
    };
    (free linear $name:ident, $real:ident, $forward:ident, ($dptr:ident)) => {
        hooks::free::linear($forward, $dptr)
    };
    (copy h2d $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident)) => {
        hooks::copy::blocking!(H2d, $dst, $real($dst, $src, $bytes))
    };
    (copy d2h $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident)) => {
        hooks::copy::blocking!(D2h, $src, $real($dst, $src, $bytes))
    };
    (copy h2d_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::in_stream!(H2d, $dst, $name, $real($dst, $src, $bytes, $stream))
    };
    (copy d2h_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::in_stream!(D2h, $src, $name, $real($dst, $src, $bytes, $stream))
    };
    (launch kernel $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::launch::kernel($forward)
    };
    (launch kernels $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::launch::kernel($forward)
    };
    (graph launch $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::launch::graph($forward)
    };
    (stream begin_capture $name:ident, $real:ident, $forward:ident, ($stream:ident $(, $more:ident)*)) => {
        hooks::stream::begin_capture($forward, hooks::stream::named($stream, stringify!($name)))
    };
    (context release $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::stream::context_release($forward)
    };
    (stream destroy $name:ident, $real:ident, $forward:ident, ($stream:ident)) => {
        hooks::stream::destroy($forward, $stream)
    };
    (export memory $name:ident, $real:ident, $forward:ident, ($handle:ident, $dptr:ident $(, $more:ident)*)) => {
        hooks::export::memory($forward, $dptr)
    };
    (export attribute $name:ident, $real:ident, $forward:ident, ($value:ident, $attribute:ident, $dptr:ident)) => {
        hooks::export::attribute($forward, $attribute, $dptr)
    };
    (context peer $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::export::peers($forward)
    };
    ($class:ident $kind:ident $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        $forward()
    };
}
pub(crate) use govern;
