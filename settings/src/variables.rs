//! The table of variables.

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The values it takes, for people.
    pub values: &'static str,
    /// What holds where it is not set, for people.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($constant:ident $name:literal, $values:literal, $default:literal, $meaning:literal;)*) => {
        $(pub(crate) const $constant: &str = $name;)*

        /// Every variable that a tenant reads, in the order in which they are documented.
        pub const VARIABLES: &[Variable] =
            &[$(Variable { name: $name, values: $values, default: $default, meaning: $meaning },)*];
    };
}

variables! {
    CLASS "MISSILE_CLASS", "ls, be", "be", "latency-sensitive or best-effort";
    WEIGHT "MISSILE_WEIGHT", "1 to 10000", "1024", "share of the bus and of the GPU's time among tenants of its class";
    COLOR "MISSILE_COLOR", "auto, on, a colour number, off", "auto", "which DRAM channels the tenant's memory lies on; auto: none where colours are sides of the L2";
    COLOR_MIN "MISSILE_COLOR_MIN", "a size such as 2M", "2M", "smaller allocations stay uncoloured";
    COLOR_MAX "MISSILE_COLOR_MAX", "a size such as 8G", "none", "larger allocations stay uncoloured";
    COPIES "MISSILE_COPIES", "on, gate, off", "on", "how the tenant's copies share the bus: by time slices of the copy engines, by a gate on the host, not at all";
    TABLE "MISSILE_TABLE", "a file", "by GPU UUID in the data folder", "the probed channel hash";
    REGION "MISSILE_REGION", "a file", "in the runtime folder", "the arbiter's region";
    STRICT "MISSILE_STRICT", "0, 1", "0", "fail cuInit instead of running ungoverned";
    DISABLE "MISSILE_DISABLE", "0, 1", "0", "pass every call through";
    LOG "MISSILE_LOG", "error, warn, info or debug, and optionally :FILE", "warn", "what the library says, and where";
}
