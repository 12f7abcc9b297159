//! The ways in which programs reach the driver, and the programs that look at how Missile behaves there.

use super::c::{DRIVER, Program};

/// A program with arguments, and what `missile run` is told.
#[derive(Clone, Copy)]
pub struct Way {
    /// The program.
    pub program: &'static Program,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// Flags for `missile run`.
    pub flags: &'static [&'static str],
}

impl Way {
    const fn of(program: &'static Program) -> Way {
        Way { program, arguments: &[], flags: &[] }
    }

    const fn with(program: &'static Program, arguments: &'static [&'static str]) -> Way {
        Way { program, arguments, flags: &[] }
    }

    /// Under `missile run --deepbind`.
    pub const fn deeply(self) -> Way {
        Way { flags: &["--deepbind"], ..self }
    }
}

macro_rules! programs {
    ($($constant:ident = $program:expr;)*) => { $(static $constant: Program = $program;)* };
}
macro_rules! ways {
    ($($constant:ident = $way:expr;)*) => { $(pub const $constant: Way = $way;)* };
}

programs! {
    LINKED_PROGRAM = Program::plain("linked", "paths/linked.c").with(&["-Wl,-z,lazy", DRIVER]);
    LINKED_NOW_PROGRAM = Program::plain("linked_now", "paths/linked.c").with(&["-Wl,-z,now", DRIVER]);
    RELOCATED_PROGRAM = Program::plain("relocated", "paths/relocated.c").with(&[DRIVER]);
    OPENED_PROGRAM = Program::plain("opened", "paths/opened.c");
    DEFAULT_SCOPE_PROGRAM = Program::plain("default_scope", "paths/default_scope.c");
    WHOLE_PROGRAM_PROGRAM =
        Program::plain("whole_program", "paths/whole_program.c").with(&["-Wl,--no-as-needed", DRIVER]);
    WRAPPER = Program::plain("libwrapper.so", "paths/wrapper.c");
    NEXT_PROGRAM =
        Program::plain("next", "paths/next.c").with(&["-Wl,--no-as-needed", "HERE/libwrapper.so"]).beside(&[&WRAPPER]);
    VERSIONS_PROGRAM = Program::plain("versions", "paths/versions.c");
    BOUND_OLD_PROGRAM =
        Program::plain("bound_old", "paths/bound_to.c").with(&["-DDLSYM=\"dlsym@GLIBC_2.2.5\""]);
    BOUND_NEW_PROGRAM =
        Program::plain("bound_new", "paths/bound_to.c").with(&["-DDLSYM=\"dlsym@GLIBC_2.34\""]);
    PLUGIN = Program::plain("plugin.so", "paths/plugin.c").with(&[DRIVER]);
    OPENING_PLUGIN = Program::plain("opening_plugin.so", "paths/opening_plugin.c");
    HOST = Program::plain("host", "paths/host.c").beside(&[&PLUGIN, &OPENING_PLUGIN]);
    ASKED = Program::plain("asked", "paths/asked.c");
    NAMESPACE_PROGRAM = Program::plain("namespace", "paths/namespace.c");
    STUB = Program::plain("libstub.so", "paths/stub.c");
    STUBBED_PROGRAM = Program::plain("stubbed", "paths/stubbed.c").beside(&[&STUB]);
    OWN_STUB_PROGRAM = Program::plain("own_stub", "paths/own_stub.c").with(&["-rdynamic"]);
    ABSENT_PROGRAM = Program::plain("absent", "paths/absent.c");
    NOT_LOADED_PROGRAM = Program::plain("not_loaded", "paths/not_loaded.c");
    EXECUTING_PROGRAM = Program::plain("executing", "paths/executing.c").beside(&[&LINKED_PROGRAM]);
    ESCAPED_PROGRAM = Program::plain("escaped", "paths/escaped.c");
    HABITS = Program::plain("habits", "manners/habits.c");
    ERRORS_PROGRAM = Program::plain("errors", "manners/errors.c");
    FORK_PROGRAM = Program::plain("fork", "manners/fork.c");
    CHILDREN_PROGRAM = Program::plain("children", "manners/children.c");
    THREADS_PROGRAM = Program::plain("threads", "manners/threads.c");
    REOPENING_PROGRAM = Program::plain("reopening", "manners/reopening.c");
    ALARMS_PROGRAM = Program::plain("alarms", "manners/alarms.c");
}

ways! {
    LINKED = Way::of(&LINKED_PROGRAM);
    LINKED_NOW = Way::of(&LINKED_NOW_PROGRAM);
    RELOCATED = Way::of(&RELOCATED_PROGRAM);
    OPENED = Way::of(&OPENED_PROGRAM);
    OPENED_PER_THREAD = Way::with(&OPENED_PROGRAM, &["per thread"]);
    DEFAULT_SCOPE = Way::of(&DEFAULT_SCOPE_PROGRAM);
    WHOLE_PROGRAM = Way::of(&WHOLE_PROGRAM_PROGRAM);
    NEXT = Way::of(&NEXT_PROGRAM);
    VERSIONS = Way::of(&VERSIONS_PROGRAM);
    BOUND_OLD = Way::of(&BOUND_OLD_PROGRAM);
    BOUND_NEW = Way::of(&BOUND_NEW_PROGRAM);
    PLUGGED = Way::with(&HOST, &["plugin.so", "unused"]);
    ASKED_1 = Way::with(&ASKED, &["1"]);
    ASKED_1_THREAD = Way::with(&ASKED, &["1", "thread"]);
    ASKED_1_NESTED = Way::with(&ASKED, &["1", "nested"]);
    ASKED_2 = Way::with(&ASKED, &["2"]);
    ASKED_2_THREAD = Way::with(&ASKED, &["2", "thread"]);
    ASKED_2_NESTED = Way::with(&ASKED, &["2", "nested", "thread"]);
    NAMESPACE = Way::of(&NAMESPACE_PROGRAM);
    STUBBED = Way::of(&STUBBED_PROGRAM);
    OWN_STUB = Way::of(&OWN_STUB_PROGRAM);
    ABSENT = Way::of(&ABSENT_PROGRAM);
    ABSENT_NEXT = Way::with(&ABSENT_PROGRAM, &["next"]);
    NOT_LOADED = Way::of(&NOT_LOADED_PROGRAM);
    EXECUTING = Way::with(&EXECUTING_PROGRAM, &["HERE/linked"]);
    ESCAPED = Way::of(&ESCAPED_PROGRAM);
    DEEP_LINKED = Way::with(&HOST, &["plugin.so", "unused", "deep", "first"]);
    DEEP_OPENING = Way::with(&HOST, &["opening_plugin.so", "libcuda.so.1", "deep", "first"]);
    DEEP_BY_PATH = Way::with(&HOST, &["opening_plugin.so", DRIVER, "deep", "first"]);
    DEEP_FROM_THE_START = Way::with(&HOST, &["plugin.so", "unused", "deep"]);
    IDLE = Way::of(&HABITS);
    WORKING = Way::with(&HABITS, &["cuda"]);
    ERRORS = Way::of(&ERRORS_PROGRAM);
    FORK = Way::of(&FORK_PROGRAM);
    CHILDREN = Way::of(&CHILDREN_PROGRAM);
    THREADS = Way::of(&THREADS_PROGRAM);
    REOPENING = Way::of(&REOPENING_PROGRAM);
    ALARMS = Way::of(&ALARMS_PROGRAM);
}

/// A driver that calls what it exports; stands before the simulated one, which it leads to.
pub static TALKING_DRIVER: Program =
    Program::plain("talking_driver.so", "paths/talking_driver.c").with(&["-Wl,-soname,libcuda.so.1"]);
/// Says how much others saw that were preloaded beside Missile.
pub static BESIDE: Program = Program::plain("beside", "manners/beside.c");
/// Counts requests to the kernel.
pub static IOCTLS: Program = Program::plain("ioctls.so", "manners/ioctls.c");
/// An allocator.
pub static MALLOCS: Program = Program::plain("mallocs.so", "manners/mallocs.c");
/// Counts calls of one of the driver's functions.
pub static TRACER: Program = Program::plain("tracer.so", "manners/tracer.c");
/// A program that takes no preloaded library where it has more rights than its caller.
pub static ALIVE: Program = Program::plain("alive", "manners/alive.c");
/// A program without a dynamic linker.
pub static ALIVE_STATIC: Program = Program::plain("alive_static", "manners/alive.c").with(&["-static"]);
