//! A program does not notice Missile: what is its own stays as it was, whatever it does and whatever else is preloaded.
//! One program in `tests/manners/` for each.

mod harness;

use harness::conformance::{
    Shown, Subject, assert_tenant, bare, governed as governed_by, governed_times as governed_times_by, keeps_errno,
    left_alone, preloaded, shown, tenant,
};
use harness::programs::{Said, said};
use harness::ways::{self, Way};
use harness::{Place, c};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Under the library of the build.
fn ours() -> Subject {
    Subject::default()
}

#[track_caller]
fn governed(way: Way) {
    governed_by(&ours(), &way);
}

#[track_caller]
fn governed_times(way: Way, times: u64, kept: u64) {
    governed_times_by(&ours(), &way, times, kept);
}

mod a_program {
    use super::*;

    #[test]
    fn that_never_uses_cuda_has_nothing_done_to_it() {
        left_alone(&ours(), &ways::IDLE);
    }

    #[test]
    fn that_uses_cuda_keeps_its_umask_signals_locale_and_output_and_has_no_new_thread_before_it_does() {
        governed(ways::WORKING);
    }

    #[test]
    fn finds_errno_as_it_left_it() {
        keeps_errno(&ours());
    }

    #[test]
    fn may_start_the_driver_on_many_threads_at_once() {
        governed_times(ways::THREADS, 8, 8);
    }

    #[test]
    fn may_open_and_close_the_driver_many_times() {
        governed(ways::REOPENING);
    }

    #[test]
    fn may_be_interrupted_by_signals_at_any_moment() {
        governed_times(ways::ALARMS, 20, 1);
    }

    #[test]
    fn may_be_switched_off_and_then_only_passes_through() {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        let with = shown(&place, tenant(&place, &ours(), &ways::LINKED).env("MISSILE_DISABLE", "1"));
        assert_eq!(with.said.stdout, said(&mut bare(&place, &ways::LINKED)).stdout);
        assert_eq!((with.said.code, with.said.stderr.as_str(), with.tenants), (Some(0), "", 0));
    }
}

mod children {
    use super::*;

    #[test]
    fn that_were_forked_are_answered_by_the_driver_and_leave_the_slot_to_their_parent() {
        governed_times(ways::FORK, 2, 1);
    }

    #[test]
    fn that_run_other_programs_do_well_and_leave_no_slot_behind() {
        governed_times(ways::CHILDREN, 2, 1);
    }
}

mod out_of_reach {
    use super::*;

    #[track_caller]
    fn assert_unharmed(said: &Said, secure: bool) {
        let expected = format!("{{\"secure\": {}}}\n", u8::from(secure));
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), expected.as_str(), ""));
    }

    #[test]
    fn a_program_without_a_dynamic_linker_runs_as_ever() {
        assert!(c::library("libc.a").is_some(), "there is no libc.a: install libc6-dev, or glibc-static");
        let place = Place::new();
        let program = ways::ALIVE_STATIC.built();
        assert_unharmed(&said(place.missile(&["run", "--sim", "h200", "--"]).arg(program)), false);
    }

    #[test]
    fn a_program_with_more_rights_than_its_caller_runs_as_ever() {
        let place = Place::new();
        let program = place.path("alive");
        fs::copy(ways::ALIVE.built(), &program).unwrap();
        // A program runs with more rights where it is given a group that its caller is not in at the moment.
        chown(&program, None, Some(other_group())).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o2755)).unwrap();
        let mut command = place.simulated(&program);
        command.env("LD_PRELOAD", place.preload(&[&ours().library()]));
        assert_unharmed(&said(&mut command), true);
    }

    /// A group other than this process's that a file of its may have.
    fn other_group() -> u32 {
        const NOBODYS: u32 = 65534;
        // SAFETY: neither has preconditions.
        let (user, own) = unsafe { (libc::geteuid(), libc::getegid()) };
        if user == 0 {
            return NOBODYS;
        }
        let mut groups = [0; 64];
        // SAFETY: the array has room for as many groups as it is said to.
        let count = unsafe { libc::getgroups(groups.len() as i32, groups.as_mut_ptr()) };
        let groups = &groups[..usize::try_from(count).expect("at most 64 groups")];
        let other = groups.iter().copied().find(|&group| group != own);
        other.expect("a set-group-ID program needs a second group: run this test as root or as a member of two groups")
    }
}

mod beside {
    use super::*;

    /// The program's answer and the row of `top` for it, with libraries preloaded before Missile's and after it.
    fn run_beside(before: &[&Path], after: &[&Path]) -> (Value, Shown) {
        let place = Place::with_table();
        let _arbiter = place.up(&[]);
        let (shim, driver) = (ours().library(), c::filled_in(c::DRIVER));
        let libraries = [before, &[&*shim], after, &[&*driver]].concat();
        let way = Way { program: &ways::BESIDE, arguments: &[], flags: &[] };
        let with = shown(&place, &mut preloaded(&place, &ours(), &libraries, &way));
        assert_eq!((with.said.code, with.said.stderr.as_str()), (Some(0), ""), "{with:?}");
        assert_tenant(&with.tenant, 1, 1);
        (with.said.json(), with)
    }

    /// How many requests the driver makes without Missile.
    fn requests_of_the_driver() -> u64 {
        let place = Place::new();
        let libraries = [ways::IOCTLS.built(), c::filled_in(c::DRIVER)];
        let mut command = place.simulated(ways::BESIDE.built());
        command.env("LD_PRELOAD", place.preload(&libraries.each_ref().map(PathBuf::as_path)));
        said(&mut command).json()["ioctls"].as_u64().unwrap()
    }

    #[test]
    fn another_library_sees_every_request_to_the_kernel_in_either_order() {
        let (other, bare) = (ways::IOCTLS.built(), requests_of_the_driver());
        assert!(bare > 0);
        let (first, _) = run_beside(&[&other], &[]);
        // The pager's self-test has the driver make an allocation and free it: an object, a range and a mapping.
        const OF_THE_SELF_TEST: u64 = 5;
        assert_eq!(first["ioctls"], bare + OF_THE_SELF_TEST, "before Missile it sees the driver's requests");
        let (second, _) = run_beside(&[], &[&other]);
        assert!(second["ioctls"].as_u64() > Some(bare), "behind Missile it sees Missile's as well: {second}");
    }

    #[test]
    fn another_allocator_serves_the_program_in_either_order() {
        let other = ways::MALLOCS.built();
        for (before, after) in [(&[&*other][..], &[][..]), (&[], &[&*other])] {
            let (says, _) = run_beside(before, after);
            assert!(says["mallocs"].as_u64() > Some(0), "{says}");
        }
    }

    #[test]
    fn a_tracer_before_missile_sees_the_programs_calls_and_one_behind_it_does_no_harm() {
        let other = ways::TRACER.built();
        assert_eq!(run_beside(&[&other], &[]).0["calls"], 1);
        run_beside(&[], &[&other]);
    }

    #[test]
    fn libraries_that_are_often_preloaded_do_no_harm_in_either_order() {
        let comes_with_gcc =
            c::library("libgomp.so.1").expect("there is no libgomp.so.1: install libgomp1, or libgomp");
        let others = ["libjemalloc.so.2", "libtcmalloc_minimal.so.4"].into_iter().filter_map(c::library);
        for other in others.chain([comes_with_gcc]) {
            println!("{}", other.display());
            run_beside(&[&other], &[]);
            run_beside(&[], &[&other]);
        }
    }
}
