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
    (free host $name:ident, $real:ident, $forward:ident, $arguments:tt) => {
        hooks::free::waits($forward)
    };
    (free linear $name:ident, $real:ident, $forward:ident, ($dptr:ident)) => {
        hooks::free::linear($forward, $dptr)
    };
    (copy h2d $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident)) => {
        hooks::copy::blocking!(Traffic::to_device($dst, $src, $bytes), $forward, $real($dst, $src))
    };
    (copy d2h $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident)) => {
        hooks::copy::blocking!(Traffic::to_host($dst, $src, $bytes), $forward, $real($dst, $src))
    };
    (copy unified $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident)) => {
        hooks::copy::blocking!(Traffic::unified($dst, $src, $bytes), $forward, $real($dst, $src))
    };
    (copy h2d_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::in_stream!(Traffic::to_device($dst, $src, $bytes), $name, $forward, $real($dst, $src, $stream))
    };
    (copy d2h_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::in_stream!(Traffic::to_host($dst, $src, $bytes), $name, $forward, $real($dst, $src, $stream))
    };
    (copy unified_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::in_stream!(Traffic::unified($dst, $src, $bytes), $name, $forward, $real($dst, $src, $stream))
    };
    (copy shaped $name:ident, $real:ident, $forward:ident, ($copy:ident)) => {
        // SAFETY: the caller's own description, or one of a part of it.
        unsafe { hooks::copy::shaped($copy, $forward, |part| $real(part)) }
    };
    (copy shaped_async $name:ident, $real:ident, $forward:ident, ($copy:ident, $stream:ident)) => {{
        let stream = hooks::stream::named($stream, stringify!($name));
        // SAFETY: as above.
        unsafe { hooks::copy::shaped_in_stream($copy, stream, $forward, |part| $real(part, $stream)) }
    }};
    (copy h2a $name:ident, $real:ident, $forward:ident, ($dst:ident, $offset:ident, $src:ident, $bytes:ident)) => {
        gate::blocking(Traffic::array(Direction::H2d, $bytes), |_| $forward())
    };
    (copy a2h $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $offset:ident, $bytes:ident)) => {
        gate::blocking(Traffic::array(Direction::D2h, $bytes), |_| $forward())
    };
    (copy h2a_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $offset:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        gate::in_stream(Traffic::array(Direction::H2d, $bytes), hooks::stream::named($stream, stringify!($name)), |_| $forward())
    };
    (copy a2h_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $offset:ident, $bytes:ident, $stream:ident)) => {
        gate::in_stream(Traffic::array(Direction::D2h, $bytes), hooks::stream::named($stream, stringify!($name)), |_| $forward())
    };
    (copy d2d $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident)) => {
        hooks::copy::within($forward, $bytes)
    };
    (copy d2d_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::within($forward, $bytes)
    };
    (copy array $name:ident, $real:ident, $forward:ident, ($($before:ident),*)) => {
        hooks::copy::within($forward, govern!(last $($before),*))
    };
    (copy peer $name:ident, $real:ident, $forward:ident, ($dst:ident, $dst_ctx:ident, $src:ident, $src_ctx:ident, $bytes:ident)) => {
        hooks::copy::within($forward, $bytes)
    };
    (copy peer_async $name:ident, $real:ident, $forward:ident, ($dst:ident, $dst_ctx:ident, $src:ident, $src_ctx:ident, $bytes:ident, $stream:ident)) => {
        hooks::copy::within($forward, $bytes)
    };
    (copy peer_box $name:ident, $real:ident, $forward:ident, ($copy:ident)) => {
        // SAFETY: the caller's own description.
        unsafe { hooks::copy::peer_box($forward, $copy) }
    };
    (copy peer_box_async $name:ident, $real:ident, $forward:ident, ($copy:ident, $stream:ident)) => {
        // SAFETY: the caller's own description.
        unsafe { hooks::copy::peer_box($forward, $copy) }
    };
    (copy batch $name:ident, $real:ident, $forward:ident, ($dsts:ident, $srcs:ident, $sizes:ident, $count:ident, $($more:ident),*)) => {{
        // SAFETY: the caller's own arrays.
        let loads = unsafe { Loads::of_batch($dsts, $srcs, $sizes, $count) };
        hooks::copy::together(loads, hooks::stream::named(govern!(last $($more),*), stringify!($name)), $forward)
    }};
    (copy box_batch $name:ident, $real:ident, $forward:ident, ($count:ident, $ops:ident, $($more:ident),*)) => {{
        // SAFETY: the caller's own array.
        let loads = unsafe { Loads::of_boxes($ops, $count) };
        hooks::copy::together(loads, hooks::stream::named(govern!(last $($more),*), stringify!($name)), $forward)
    }};
    (copy hinted $name:ident, $real:ident, $forward:ident, ($dst:ident, $src:ident, $bytes:ident, $attr:ident, $stream:ident)) => {
        hooks::copy::hinted($forward, $dst, $src, $bytes, hooks::stream::named($stream, stringify!($name)))
    };
    (copy hinted_box $name:ident, $real:ident, $forward:ident, ($op:ident, $flags:ident, $stream:ident)) => {{
        // SAFETY: the caller's own description.
        let loads = unsafe { Loads::of_boxes($op, 1) };
        hooks::copy::together(loads, hooks::stream::named($stream, stringify!($name)), $forward)
    }};
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
        hooks::launch::graph(|| hooks::graph::launch($forward, $exec, hooks::stream::named($stream, stringify!($name))))
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
    (context create $name:ident, $real:ident, $forward:ident, ($ctx:ident $(, $more:ident)*)) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { hooks::context::created($forward, $ctx, false) }
    };
    (context retain $name:ident, $real:ident, $forward:ident, ($ctx:ident $(, $more:ident)*)) => {
        // SAFETY: as above.
        unsafe { hooks::context::created($forward, $ctx, true) }
    };
    (context destroy $name:ident, $real:ident, $forward:ident, ($ctx:ident)) => {
        hooks::context::destroyed($forward, $ctx)
    };
    (context release $name:ident, $real:ident, $forward:ident, ($device:ident $(, $more:ident)*)) => {
        hooks::context::primary_released($forward, $device)
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
