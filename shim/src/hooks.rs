//! The hooks, by class and kind. Each announces what the call is, decides, and forwards to the driver.

pub(crate) mod alloc;
pub(crate) mod context;
pub(crate) mod copy;
pub(crate) mod export;
pub(crate) mod free;
pub(crate) mod graph;
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
    (alloc pitched $name:ident, $real:ident, $forward:ident, ($dptr:ident, $pitch:ident, $width:ident, $height:ident, $element:ident)) => {
        hooks::alloc::pitched($forward, $dptr, $width, $height)
    };
    (alloc stream_ordered $name:ident, $real:ident, $forward:ident, ($dptr:ident, $bytes:ident, $stream:ident)) => {
        hooks::alloc::pooled($forward, $bytes, None)
    };
    (alloc from_pool $name:ident, $real:ident, $forward:ident, ($dptr:ident, $bytes:ident, $pool:ident, $stream:ident)) => {
        hooks::alloc::pooled($forward, $bytes, Some($pool))
    };
    (alloc physical $name:ident, $real:ident, $forward:ident, ($handle:ident, $bytes:ident, $properties:ident, $flags:ident)) => {
        // SAFETY: the caller's own properties.
        unsafe { hooks::alloc::physical($forward, $handle, $bytes, $properties) }
    };
    (alloc new_pool $name:ident, $real:ident, $forward:ident, ($pool:ident, $properties:ident)) => {
        // SAFETY: the caller's own properties, and its place for the handle.
        unsafe { hooks::alloc::pool($forward, $pool, $properties) }
    };
    (alloc imported_pool $name:ident, $real:ident, $forward:ident, ($pool:ident, $($more:ident),*)) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { hooks::alloc::imported_pool($forward, $pool) }
    };
    (free pool $name:ident, $real:ident, $forward:ident, ($pool:ident)) => {
        hooks::free::pool($forward, $pool)
    };
    (free linear $name:ident, $real:ident, $forward:ident, ($dptr:ident)) => {
        hooks::free::linear($forward, $dptr)
    };
    // In the order of a stream or not, a copy is counted as it is submitted.
    (copy h2d_async $($call:tt)*) => { govern!(copy h2d $($call)*) };
    (copy d2h_async $($call:tt)*) => { govern!(copy d2h $($call)*) };
    (copy d2d_async $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy unified_async $($call:tt)*) => { govern!(copy unified $($call)*) };
    (copy hinted $($call:tt)*) => { govern!(copy unified $($call)*) };
    (copy shaped_async $($call:tt)*) => { govern!(copy shaped $($call)*) };
    (copy h2a_async $($call:tt)*) => { govern!(copy h2a $($call)*) };
    (copy a2h_async $($call:tt)*) => { govern!(copy a2h $($call)*) };
    (copy peer_async $($call:tt)*) => { govern!(copy peer $($call)*) };
    (copy peer_box_async $($call:tt)*) => { govern!(copy peer_box $($call)*) };
    (copy h2d $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident $(, $stream:ident)?)) => {
        copies::whole(|| Traffic::over(Direction::H2d, $bytes), $forward)
    };
    (copy d2h $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident $(, $stream:ident)?)) => {
        copies::whole(|| Traffic::over(Direction::D2h, $bytes), $forward)
    };
    (copy unified $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident $(, $more:ident)*)) => {
        copies::whole(|| Traffic::unified($dst, $src, $bytes), $forward)
    };
    (copy shaped $name:ident, $real:ident, $forward:ident, ($copy:ident $(, $stream:ident)?)) => {
        // SAFETY: the caller's own description.
        unsafe { hooks::copy::shaped($copy, $forward) }
    };
    (copy h2a $name:ident, $real:ident, $forward:ident, ($dst:ident, $offset:ident, $src:ident, $bytes:ident $(, $stream:ident)?)) => {
        copies::whole(|| Traffic::over(Direction::H2d, $bytes), $forward)
    };
    (copy a2h $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $offset:ident, $bytes:ident $(, $stream:ident)?)) => {
        copies::whole(|| Traffic::over(Direction::D2h, $bytes), $forward)
    };
    (copy d2d $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident $(, $stream:ident)?)) => {
        hooks::copy::within($forward, $bytes)
    };
    (copy array $name:ident, $real:ident, $forward:ident, ($($before:ident),*)) => {
        hooks::copy::within($forward, govern!(last $($before),*))
    };
    (copy peer $name:ident, $real:ident, $forward:ident, ($dst:ident, $dst_ctx:ident, $src:ident, $src_ctx:ident, $bytes:ident $(, $stream:ident)?)) => {
        hooks::copy::within($forward, $bytes)
    };
    (copy peer_box $name:ident, $real:ident, $forward:ident, ($copy:ident $(, $stream:ident)?)) => {
        // SAFETY: the caller's own description.
        unsafe { hooks::copy::peer_box($forward, $copy) }
    };
    (copy batch $name:ident, $real:ident, $forward:ident, ($dsts:ident, $srcs:ident, $sizes:ident, $count:ident, $($more:ident),*)) => {
        // SAFETY: the caller's own arrays.
        hooks::copy::together(|| unsafe { Loads::of_batch($dsts, $srcs, $sizes, $count) }, $forward)
    };
    (copy box_batch $name:ident, $real:ident, $forward:ident, ($count:ident, $ops:ident, $($more:ident),*)) => {
        // SAFETY: the caller's own array.
        hooks::copy::together(|| unsafe { Loads::of_boxes($ops, $count) }, $forward)
    };
    (copy hinted_box $name:ident, $real:ident, $forward:ident, ($op:ident, $flags:ident, $stream:ident)) => {
        // SAFETY: the caller's own description.
        hooks::copy::together(|| unsafe { Loads::of_boxes($op, 1) }, $forward)
    };
    (last $last:ident) => {
        $last
    };
    (last $first:ident, $($more:ident),+) => {
        govern!(last $($more),+)
    };
    (launch kernel $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::launch::kernel($forward)
    };
    (launch kernels $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::launch::kernel($forward)
    };
    (graph launch $name:ident, $real:ident, $forward:ident, ($exec:ident, $stream:ident)) => {
        hooks::launch::graph($forward, $exec)
    };
    (graph instantiate $name:ident, $real:ident, $forward:ident, ($exec:ident, $graph:ident, $($more:ident),*)) => {
        hooks::graph::instantiate($forward, $exec, $graph)
    };
    (graph update_all $name:ident, $real:ident, $forward:ident, ($exec:ident, $graph:ident, $($more:ident),*)) => {
        hooks::graph::update_all($forward, $exec, $graph)
    };
    (graph update_copy $name:ident, $real:ident, $forward:ident, ($exec:ident, $node:ident, $copy:ident, $ctx:ident)) => {
        // SAFETY: the caller's own description.
        unsafe { hooks::graph::update_copy($forward, $exec, $node, $copy) }
    };
    (graph destroy_exec $name:ident, $real:ident, $forward:ident, ($exec:ident)) => {
        hooks::graph::destroy_exec($forward, $exec)
    };
    (stream begin_capture $name:ident, $real:ident, $forward:ident, ($stream:ident $(, $more:ident)*)) => {
        hooks::stream::begin_capture($forward, hooks::stream::named($stream, stringify!($name)))
    };
    (context destroy $name:ident, $real:ident, $forward:ident, ($ctx:ident)) => {
        hooks::context::released($forward)
    };
    (context release $name:ident, $real:ident, $forward:ident, ($device:ident $(, $more:ident)*)) => {
        hooks::context::released($forward)
    };
    (context release_green $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::context::released($forward)
    };
    (stream destroy $name:ident, $real:ident, $forward:ident, ($stream:ident)) => {
        hooks::stream::destroy($forward, $stream)
    };
    (export memory $name:ident, $real:ident, $forward:ident, ($place:ident, $dptr:ident $(, $more:ident)*)) => {
        hooks::export::memory_into($forward, $place, $dptr)
    };
    (export attribute $name:ident, $real:ident, $forward:ident, ($value:ident, $attribute:ident, $dptr:ident)) => {
        hooks::export::attribute($forward, $attribute, $dptr)
    };
    (export shared_handle $name:ident, $real:ident, $forward:ident, ($place:ident, $handle:ident, $($more:ident),*)) => {
        hooks::export::handle_into($forward, $place, $handle)
    };
    (export bound_handle $name:ident, $real:ident, $forward:ident, ($to:ident, $at:ident, $handle:ident, $($more:ident),*)) => {
        hooks::export::handle($forward, $handle)
    };
    (export bound_handle_on $name:ident, $real:ident, $forward:ident, ($to:ident, $device:ident, $at:ident, $handle:ident, $($more:ident),*)) => {
        hooks::export::handle($forward, $handle)
    };
    (export bound_address $name:ident, $real:ident, $forward:ident, ($to:ident, $at:ident, $dptr:ident, $($more:ident),*)) => {
        hooks::export::memory($forward, $dptr)
    };
    (export bound_address_on $name:ident, $real:ident, $forward:ident, ($to:ident, $device:ident, $at:ident, $address:ident, $($more:ident),*)) => {
        hooks::export::memory($forward, $address as CUdeviceptr)
    };
    (info retained $name:ident, $real:ident, $forward:ident, ($handle:ident, $address:ident)) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { hooks::alloc::retained($forward, $handle, $address as CUdeviceptr) }
    };
    (free physical $name:ident, $real:ident, $forward:ident, ($handle:ident)) => {
        hooks::free::physical($forward, $handle)
    };
    (context peer $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::export::peers($forward)
    };
    ($class:ident $kind:ident $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        $forward()
    };
}
pub(crate) use govern;
