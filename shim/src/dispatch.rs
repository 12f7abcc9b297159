//! The hook for each class and kind of governed function.

/// The stream of a call: `of!(args name)`.
macro_rules! of {
    ($args:ident $name:ident) => {
        Stream { handle: $args.stream, null: NullStream::of(stringify!($name)) }
    };
}
pub(crate) use of;

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
    // In the order of a stream, a copy is work that is under way when the call returns; else it is done by then.
    (copy h2d_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy h2d $name $forward $args)
    }};
    (copy d2h_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy d2h $name $forward $args)
    }};
    (copy d2d_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy d2d $name $forward $args)
    }};
    (copy unified_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy unified $name $forward $args)
    }};
    (copy hinted $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy unified $name $forward $args)
    }};
    (copy shaped_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy shaped $name $forward $args)
    }};
    (copy h2a_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy h2d $name $forward $args)
    }};
    (copy a2h_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy d2h $name $forward $args)
    }};
    (copy peer_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy d2d $name $forward $args)
    }};
    (copy peer_box_async $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving(of!($args $name), $forward);
        govern!(@copy shaped $name $forward $args)
    }};
    (copy h2a $($call:tt)*) => { govern!(copy h2d $($call)*) };
    (copy a2h $($call:tt)*) => { govern!(copy d2h $($call)*) };
    (copy peer $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy array $($call:tt)*) => { govern!(copy d2d $($call)*) };
    (copy peer_box $($call:tt)*) => { govern!(copy shaped $($call)*) };
    (copy h2d $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving_and_waiting(NullStream::of(stringify!($name)), $forward);
        govern!(@copy h2d $name $forward $args)
    }};
    (copy d2h $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving_and_waiting(NullStream::of(stringify!($name)), $forward);
        govern!(@copy d2h $name $forward $args)
    }};
    (copy d2d $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving_and_waiting(NullStream::of(stringify!($name)), $forward);
        govern!(@copy d2d $name $forward $args)
    }};
    (copy unified $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving_and_waiting(NullStream::of(stringify!($name)), $forward);
        govern!(@copy unified $name $forward $args)
    }};
    (copy shaped $name:ident $forward:ident $args:ident) => {{
        let $forward = || activity::giving_and_waiting(NullStream::of(stringify!($name)), $forward);
        govern!(@copy shaped $name $forward $args)
    }};
    (@copy h2d $name:ident $forward:ident $args:ident) => {
        copies::over($forward, Direction::H2d, $args.bytes)
    };
    (@copy d2h $name:ident $forward:ident $args:ident) => {
        copies::over($forward, Direction::D2h, $args.bytes)
    };
    (@copy d2d $name:ident $forward:ident $args:ident) => {
        copies::within($forward, $args.bytes)
    };
    (@copy unified $name:ident $forward:ident $args:ident) => {
        copies::unified($forward, $args.dst, $args.src, $args.bytes)
    };
    (@copy shaped $name:ident $forward:ident $args:ident) => {
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
        launches::graph(of!($args $name), $args.exec, || copies::graph($forward, $args.exec))
    };
    (launch kernel $name:ident $forward:ident $args:ident) => {
        launches::kernel(of!($args $name), $args.f, [$args.gx, $args.gy, $args.gz], $forward)
    };
    (launch cooperative $($call:tt)*) => { govern!(launch kernel $($call)*) };
    (launch configured $name:ident $forward:ident $args:ident) => {
        // SAFETY: the caller's own description.
        unsafe { launches::configured(NullStream::of(stringify!($name)), $args.config, $args.f, $forward) }
    };
    (launch legacy $name:ident $forward:ident $args:ident) => {
        launches::kernel(Stream::LEGACY, $args.f, [0; 3], $forward)
    };
    (launch legacy_async $name:ident $forward:ident $args:ident) => {
        launches::kernel(of!($args $name), $args.f, [0; 3], $forward)
    };
    (launch many $name:ident $forward:ident $args:ident) => {
        launches::many($forward)
    };
    (stream begin_capture $name:ident $forward:ident $args:ident) => {
        capture::begin($args.stream, NullStream::of(stringify!($name)), $forward)
    };
    (stream end_capture $name:ident $forward:ident $args:ident) => {
        capture::end($args.stream, NullStream::of(stringify!($name)), $forward)
    };
    (stream destroy $name:ident $forward:ident $args:ident) => {
        activity::destroyed($args.stream, || capture::stream_destroyed($args.stream, $forward))
    };
    (stream wait $name:ident $forward:ident $args:ident) => {
        activity::stream(of!($args $name), $forward)
    };
    (event record $name:ident $forward:ident $args:ident) => {
        activity::record($args.event, of!($args $name), $forward)
    };
    (event wait $name:ident $forward:ident $args:ident) => {
        activity::event($args.event, $forward)
    };
    (context wait $name:ident $forward:ident $args:ident) => {
        activity::context(None, $forward)
    };
    (context wait_given $name:ident $forward:ident $args:ident) => {
        activity::context(Some($args.ctx), $forward)
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
        activity::context_ended(|| contexts::destroyed($args.ctx, $forward))
    };
    (context detach $name:ident $forward:ident $args:ident) => {
        activity::context_ended(|| contexts::detached($args.ctx, $forward))
    };
    (context release $name:ident $forward:ident $args:ident) => {
        activity::context_ended(|| contexts::released($args.device, $forward))
    };
    (context release_green $name:ident $forward:ident $args:ident) => {
        activity::context_ended(|| contexts::green_destroyed($args.green, $forward))
    };
    ($class:ident $kind:ident $name:ident $forward:ident $args:ident) => {
        $forward()
    };
}
pub(crate) use govern;
