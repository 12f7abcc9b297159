//! Programs and libraries in C that tests run, compiled when they are first asked for.

use super::libraries;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

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

    /// The file, made if it has not been in this test program. There must be a compiler.
    pub fn built(&self) -> PathBuf {
        static MADE: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
        let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        self.make(&mut made);
        folder().join(self.name)
    }

    fn make(&self, made: &mut HashSet<&'static str>) {
        self.needs.iter().for_each(|other| other.make(made));
        if !made.insert(self.name) {
            return;
        }
        let mut compiler = compiler();
        compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-Wl,-rpath,$ORIGIN", "-o"]);
        compiler.arg(folder().join(self.name)).arg(tests().join(self.source));
        if self.name.ends_with(".so") {
            compiler.args(["-shared", "-fPIC"]);
        }
        compiler.args(self.flags.iter().map(|flag| filled_in(flag)));
        let output = compiler.output().expect("these tests compile programs in C: install gcc");
        assert!(output.status.success(), "{}: {}", self.source, String::from_utf8_lossy(&output.stderr));
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

/// Whether there is a C compiler. Says so where there is none, as then what asks is left out.
pub fn is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    let there = *THERE.get_or_init(|| compiler().arg("--version").output().is_ok_and(|it| it.status.success()));
    if !there {
        println!("left out: there is no C compiler");
    }
    there
}

/// Whether programs can be linked to a C library that is not shared. Says so where they cannot.
pub fn links_statically() -> bool {
    let answer = compiler().arg("-print-file-name=libc.a").output();
    let there = answer.is_ok_and(|it| Path::new(String::from_utf8_lossy(&it.stdout).trim()).is_absolute());
    if !there {
        println!("left out: there is no libc.a");
    }
    there
}

fn compiler() -> Command {
    Command::new("cc")
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
