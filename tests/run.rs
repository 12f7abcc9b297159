//! `missile run` starts programs that bring libraries of their own, and on machines that refuse it things.

mod harness;

use harness::c::Program;
use harness::programs::{Said, said};
use harness::{Place, example_path, libraries};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

mod sanitizers {
    use super::*;

    /// Works on the GPU; with an argument, writes one byte too far into its heap afterwards.
    const SOURCE: &str = "run/heap.c";
    static PLAIN: Program = Program::plain("plain", SOURCE);
    static ADDRESS: Program = Program::plain("address", SOURCE).with(&["-fsanitize=address"]);
    static ADDRESS_AND_UNDEFINED: Program =
        Program::plain("address_and_undefined", SOURCE).with(&["-fsanitize=address,undefined"]);
    static UNDEFINED: Program = Program::plain("undefined", SOURCE).with(&["-fsanitize=undefined"]);

    fn run(place: &Place, program: &[&OsStr]) -> Command {
        let mut command = place.missile(&["run", "--sim", "h200", "--"]);
        command.args(program);
        command
    }

    /// The program does its work under an arbiter, as it does without a sanitizer.
    #[track_caller]
    fn assert_works(place: &Place, command: &mut Command) {
        let expected = said(&mut place.simulated(PLAIN.built()));
        let said = said(command);
        assert_eq!((said.code, &said.stdout, said.stderr.as_str()), (Some(0), &expected.stdout, ""), "{said:?}");
    }

    /// The runtime of the address sanitizer, by the path that the compiler has it at.
    fn runtime() -> OsString {
        let found = Command::new("cc").arg("-print-file-name=libasan.so").output();
        let found = found.expect("these tests need a C compiler: install gcc").stdout;
        let path = PathBuf::from(String::from_utf8(found).unwrap().trim()).canonicalize();
        path.expect("these tests need the address sanitizer's runtime: install gcc with libasan").into_os_string()
    }

    #[test]
    fn a_program_that_was_built_with_one_works() {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        for program in [&ADDRESS, &ADDRESS_AND_UNDEFINED, &UNDEFINED] {
            println!("{}", program.name);
            assert_works(&place, &mut run(&place, &[program.built().as_os_str()]));
        }
    }

    #[test]
    fn so_does_one_that_another_program_starts() {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        let script = OsString::from(format!("'{}'", ADDRESS.built().display()));
        assert_works(&place, &mut run(&place, &["sh".as_ref(), "-c".as_ref(), &script]));
    }

    #[test]
    fn and_it_still_finds_what_is_wrong() {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        let said = said(&mut run(&place, &[ADDRESS.built().as_os_str(), "too far".as_ref()]));
        assert_ne!(said.code, Some(0));
        assert!(said.stderr.contains("heap-buffer-overflow"), "{said:?}");
    }

    #[test]
    fn a_program_works_beside_one_that_is_preloaded() {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        for program in [&PLAIN, &ADDRESS] {
            assert_works(&place, run(&place, &[program.built().as_os_str()]).env("LD_PRELOAD", runtime()));
        }
    }

    #[test]
    fn one_that_is_preloaded_stays_first_and_the_rest_keeps_its_order() {
        let place = Place::new();
        let theirs = [&runtime(), OsStr::new("libdl.so.2"), OsStr::new("libm.so.6")].join(OsStr::new(":"));
        let said = said(run(&place, &["printenv".as_ref(), "LD_PRELOAD".as_ref()]).env("LD_PRELOAD", theirs));
        let names = said.stdout.trim().split(':').map(|path| Path::new(path).file_name().unwrap().to_str().unwrap());
        let names: Vec<_> = names.map(|name| name.split(".so").next().unwrap()).collect();
        assert_eq!(names, ["libasan", "libmissile", "libcuda", "libdl", "libm"]);
    }

    #[test]
    fn what_the_operator_tells_one_holds() {
        let place = Place::new();
        let said =
            said(run(&place, &["printenv".as_ref(), "ASAN_OPTIONS".as_ref()]).env("ASAN_OPTIONS", "verbosity=0"));
        assert!(said.stdout.ends_with(":verbosity=0\n"), "{said:?}");
    }
}

mod without_readlink {
    use super::*;

    /// Answers the system calls that read a link with "operation not permitted", as a seccomp profile may.
    fn refuse_readlink() -> io::Result<()> {
        const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
        const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let answer = (libc::BPF_RET | libc::BPF_K) as u16;
        let filter = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut filters = [
            // The number of the call is the first field of `struct seccomp_data`.
            filter(load, 0, 0, 0),
            filter(jump, 2, 0, libc::SYS_readlink as u32),
            filter(jump, 1, 0, libc::SYS_readlinkat as u32),
            filter(answer, 0, 0, ALLOW),
            filter(answer, 0, 0, REFUSE),
        ];
        let program = libc::sock_fprog { len: filters.len() as u16, filter: filters.as_mut_ptr() };
        // SAFETY: takes integers only.
        let sealed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        // SAFETY: the program and its filters live until the call, which copies them, returns.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        if sealed != 0 || set != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn confined(command: &mut Command) -> Said {
        // SAFETY: between fork and exec it makes two system calls and allocates nothing.
        unsafe { command.pre_exec(refuse_readlink) };
        said(command)
    }

    #[test]
    fn the_libraries_are_found_and_the_program_is_governed() {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        let bare = said(&mut place.bare("roundtrip", &["2M"])).json();
        let tenant = confined(&mut place.tenant(&["--class", "ls"], "roundtrip", &["2M"]));
        assert_eq!((tenant.code, tenant.stderr.as_str()), (Some(0), ""), "{tenant:?}");
        assert_eq!(tenant.json()["buffers"], bare["buffers"]);
    }

    #[test]
    fn so_are_those_beside_an_installed_program() {
        let place = Place::new();
        let [bin, lib] = ["opt/bin", "opt/lib/missile"].map(|folder| place.path(folder));
        let copies = [
            (Path::new(env!("CARGO_BIN_EXE_missile")), bin.join("missile")),
            (&libraries().join("libmissile.so"), lib.join("libmissile.so")),
            (&libraries().join("sim/libcuda.so.1"), lib.join("sim/libcuda.so.1")),
        ];
        for (from, to) in &copies {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
        let run = ["run", "--sim", "h200", "--", "printenv", "LD_PRELOAD"];
        let said = confined(place.command(bin.join("missile")).args(run));
        assert!(said.stdout.starts_with(&format!("{}:", lib.join("libmissile.so").display())), "{said:?}");
    }

    #[test]
    fn a_folder_that_may_not_be_looked_into_is_said_with_the_reason() {
        let place = Place::new();
        // A file is no folder, for root as well.
        let file = example_path("roundtrip");
        let said = said(place.missile(&["run", "--sim", "h200", "--", "true"]).env("MISSILE_LIB_DIR", &file));
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
        assert!(said.one_line().contains("Not a directory"), "{said:?}");
    }
}
