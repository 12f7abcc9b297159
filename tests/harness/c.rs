//! Programs and libraries in C that tests run, compiled when they are first asked for.

use super::libraries;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};

/// The C compiler, which tests cannot do without.
const COMPILER: &str = "cc";

/// Stands for the path of the simulated driver, in flags and arguments.
pub const DRIVER: &str = "DRIVER";

/// A program, or a library where the name ends in `.so`.
pub struct Program {
    /// The file that is made.
    pub name: &'static str,
    /// Its source, below `tests/`.
    pub source: &'static str,
    /// Flags of the compiler beside the usual ones.
    pub flags: &'static [&'static str],
    /// Programs and libraries that must lie beside it.
    pub needs: &'static [&'static Program],
}

impl Program {
    /// A program that is linked to nothing but the C library.
    pub const fn plain(name: &'static str, source: &'static str) -> Program {
        Program { name, source, flags: &[], needs: &[] }
    }

    /// With flags for the compiler.
    pub const fn with(self, flags: &'static [&'static str]) -> Program {
        Program { flags, ..self }
    }

    /// With others beside it.
    pub const fn beside(self, needs: &'static [&'static Program]) -> Program {
        Program { needs, ..self }
    }

    /// The file, made if it has not been in this test program. Fails the test where there is no C compiler.
    pub fn built(&self) -> PathBuf {
        static MADE: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
        let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        self.make(&mut made);
        folder().join(self.name)
    }

    fn make(&self, made: &mut HashSet<&'static str>) {
        self.needs.iter().for_each(|other| other.make(made));
        if made.contains(self.name) {
            return;
        }
        let flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-Wl,-rpath,$ORIGIN"].map(PathBuf::from);
        let flags = flags.into_iter().chain(self.flags.iter().map(|flag| filled_in(flag)));
        compile(&tests().join(self.source), &folder().join(self.name), flags);
        made.insert(self.name);
    }
}

/// A flag or argument, or the path that it stands for: of the driver, or of a file beside the program (`HERE/…`).
pub fn filled_in(text: &str) -> PathBuf {
    match text.strip_prefix("HERE/") {
        Some(name) => folder().join(name),
        None if text == DRIVER => libraries().join("sim/libcuda.so.1"),
        None => text.into(),
    }
}

/// Makes a program from a C file, or a library where the name to make ends in `.so` or has `.so.` in it. The flags come
/// after the file, as those for the linker have to.
#[track_caller]
pub fn compile(source: &Path, made: &Path, flags: impl IntoIterator<Item = PathBuf>) {
    let mut compiler = Command::new(COMPILER);
    compiler.arg("-o").arg(made).arg(source);
    let name = made.file_name().unwrap().to_string_lossy();
    if name.ends_with(".so") || name.contains(".so.") {
        compiler.args(["-shared", "-fPIC"]);
    }
    let output = run(compiler.args(flags));
    assert!(output.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&output.stderr));
}

/// The path of a library of the compiler's or the C library's own, or `None` where it is not installed.
pub fn library(name: &str) -> Option<PathBuf> {
    let said = run(Command::new(COMPILER).arg(format!("-print-file-name={name}")));
    let path = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    path.is_absolute().then_some(path)
}

/// Runs the compiler. Fails the test, and says what to install, where there is none.
#[track_caller]
fn run(compiler: &mut Command) -> Output {
    let output = compiler.output();
    output.unwrap_or_else(|error| panic!("no C compiler starts as `{COMPILER}` ({error}): install gcc"))
}

fn tests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
}

/// This test program's own folder.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c").join(env!("CARGO_CRATE_NAME"));
        fs::create_dir_all(&folder).unwrap();
        folder
    })
}
