//! The hook for each class and kind of governed function.

/// Governs one call: `govern!(class kind name, forward, args)`. `forward` calls the driver with the caller's arguments,
/// which `args` has by the names that the table gives them.
///
/// Kinds without a line of their own have nothing to decide: being seen is what the library needs of them, so that
/// what the driver asks of the kernel meanwhile is known to be announced.
macro_rules! govern {
    (init begin $name:ident $forward:ident $args:ident) => {
        $crate::process::start::init($forward)
    };
    (resolver $kind:ident $name:ident $forward:ident $args:ident) => {
        $crate::intercept::resolver::answered(&HOOKS, $forward, $args.pfn)
    };
    (alloc linear $name:ident $forward:ident $args:ident) => {
        memory::alloc::linear($forward, $args.dptr, $args.bytes)
    };
    (alloc pitched $name:ident $forward:ident $args:ident) => {
        memory::alloc::pitched($forward, $args.dptr, $args.width, $args.height)
    };
    (alloc stream_ordered $name:ident $forward:ident $args:ident) => {
        memory::alloc::pooled($forward, $args.bytes, None)
    };
    (alloc from_pool $name:ident $forward:ident $args:ident) => {
        memory::alloc::pooled($forward, $args.bytes, Some($args.pool))
    };
    (alloc physical $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own properties, and its place for the handle.
        unsafe { memory::alloc::physical($forward, $args.handle, $args.size, $args.prop) }
    };
    (alloc new_pool $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own properties, and its place for the handle.
        unsafe { memory::alloc::pool($forward, $args.pool, $args.props) }
    };
    (alloc imported_pool $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { memory::alloc::imported_pool($forward, $args.pool) }
    };
    (info retained $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { memory::alloc::retained($forward, $args.handle, $args.addr as CUdeviceptr) }
    };
    (free pool $name:ident $forward:ident $args:ident) => {
        memory::free::pool($forward, $args.pool)
    };
    (free linear $name:ident $forward:ident $args:ident) => {
        memory::free::linear($forward, $args.dptr)
    };
    (free physical $name:ident $forward:ident $args:ident) => {
        memory::free::physical($forward, $args.handle)
    };
    (export memory $name:ident $forward:ident $args:ident) => {
        memory::share::memory_into($forward, $args.handle, $args.dptr)
    };
    (export attribute $name:ident $forward:ident $args:ident) => {
        memory::share::attribute($forward, $args.attribute, $args.ptr)
    };
    (export shared_handle $name:ident $forward:ident $args:ident) => {
        memory::share::handle_into($forward, $args.shareable, $args.handle)
    };
    (export bound_handle $name:ident $forward:ident $args:ident) => {
        memory::share::handle($forward, $args.handle)
    };
    (export bound_handle_on $name:ident $forward:ident $args:ident) => {
        memory::share::handle($forward, $args.handle)
    };
    (export bound_address $name:ident $forward:ident $args:ident) => {
        memory::share::memory($forward, $args.dptr)
    };
    (export bound_address_on $name:ident $forward:ident $args:ident) => {
        memory::share::memory($forward, $args.dptr as CUdeviceptr)
    };
    (context peer $name:ident $forward:ident $args:ident) => {
        memory::share::peers($forward)
    };
    // In the order of a stream or not, a copy is counted as it is submitted.
    (copy h2d_async $($call:tt)*) => { govern!(copy h2d $($call)*) };
    (copy d2h_async $($call:tt)*) => { govern!(copy d2h $($call)*) };
    (copy d2d_async $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy unified_async $($call:tt)*) => { govern!(copy unified $($call)*) };
    (copy hinted $($call:tt)*) => { govern!(copy unified $($call)*) };
    (copy shaped_async $($call:tt)*) => { govern!(copy shaped $($call)*) };
    (copy h2a_async $($call:tt)*) => { govern!(copy h2d $($call)*) };
    (copy h2a $($call:tt)*) => { govern!(copy h2d $($call)*) };
    (copy a2h_async $($call:tt)*) => { govern!(copy d2h $($call)*) };
    (copy a2h $($call:tt)*) => { govern!(copy d2h $($call)*) };
    (copy peer_async $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy peer $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy array $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy peer_box_async $($call:tt)*) => { govern!(copy shaped $($call)*) };
    (copy peer_box $($call:tt)*) => { govern!(copy shaped $($call)*) };
    (copy h2d $name:ident $forward:ident $args:ident) => {
        copies::over($forward, Direction::H2d, $args.bytes)
    };
    (copy d2h $name:ident $forward:ident $args:ident) => {
        copies::over($forward, Direction::D2h, $args.bytes)
    };
    (copy d2d $name:ident $forward:ident $args:ident) => {
        copies::within($forward, $args.bytes)
    };
    (copy unified $name:ident $forward:ident $args:ident) => {
        copies::unified($forward, $args.dst, $args.src, $args.bytes)
    };
    (copy shaped $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own description.
        unsafe { copies::shaped($forward, $args.copy) }
    };
    (copy batch $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own arrays.
        unsafe { copies::batch($forward, $args.dsts, $args.srcs, $args.sizes, $args.count) }
    };
    (copy box_batch $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own array.
        unsafe { copies::boxes($forward, $args.ops, $args.count) }
    };
    (copy hinted_box $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own description.
        unsafe { copies::boxes($forward, $args.op, 1) }
    };
    (graph instantiate $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { copies::instantiate($forward, $args.exec, $args.graph) }
    };
    (graph update_all $name:ident $forward:ident $args:ident) => {
        copies::update_all($forward, $args.exec, $args.graph)
    };
    (graph update_copy $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own description.
        unsafe { copies::update_copy($forward, $args.exec, $args.node, $args.copy) }
    };
    (graph destroy_exec $name:ident $forward:ident $args:ident) => {
        copies::destroy_exec($forward, $args.exec)
    };
    (graph launch $name:ident $forward:ident $args:ident) => {
        launches::graph(|| copies::graph($forward, $args.exec))
    };
    (launch kernel $name:ident $forward:ident $args:ident) => {
        launches::kernel($forward)
    };
    (launch kernels $name:ident $forward:ident $args:ident) => {
        launches::kernel($forward)
    };
    (stream begin_capture $name:ident $forward:ident $args:ident) => {
        capture::begin($args.stream, NullStream::of(stringify!($name)), $forward)
    };
    (stream end_capture $name:ident $forward:ident $args:ident) => {
        capture::end($args.stream, NullStream::of(stringify!($name)), $forward)
    };
    (stream destroy $name:ident $forward:ident $args:ident) => {
        capture::stream_destroyed($args.stream, $forward)
    };
    (context create $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { contexts::created($args.ctx, $forward) }
    };
    (context retain $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own place for the handle.
        unsafe { contexts::retained($args.ctx, $args.device, $forward) }
    };
    (context destroy $name:ident $forward:ident $args:ident) => {
        contexts::destroyed($args.ctx, $forward)
    };
    (context detach $name:ident $forward:ident $args:ident) => {
        contexts::detached($args.ctx, $forward)
    };
    (context release $name:ident $forward:ident $args:ident) => {
        contexts::released($args.device, $forward)
    };
    (context release_green $name:ident $forward:ident $args:ident) => {
        contexts::green_destroyed($args.green, $forward)
    };
    ($class:ident $kind:ident $name:ident $forward:ident $args:ident) => {
        $forward()
    };
}
pub(crate) use govern;
