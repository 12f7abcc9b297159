//! Every way that a program can reach the driver's functions is governed; where that cannot be, it is noticed. One
//! program in `tests/paths/` for each.

mod harness;

use harness::conformance::{Subject, bypassed, found_once_loaded, governed as governed_by, governed_once, left_alone};
use harness::ways::{self, Way};

/// Under the library of the build.
fn ours() -> Subject {
    Subject::default()
}

#[track_caller]
fn governed(way: Way) {
    governed_by(&ours(), &way);
}

mod linking {
    use super::*;

    #[test]
    fn names_bound_when_they_are_first_called() {
        governed(ways::LINKED);
    }

    #[test]
    fn names_bound_when_the_program_starts() {
        governed(ways::LINKED_NOW);
    }

    #[test]
    fn addresses_in_a_table_of_the_programs() {
        governed(ways::RELOCATED);
    }

    #[test]
    fn a_private_library_that_is_linked_to_the_driver() {
        governed(ways::PLUGGED);
    }

    #[test]
    fn a_program_that_another_one_became() {
        governed(ways::EXECUTING);
    }
}

mod looking_up {
    use super::*;

    #[test]
    fn in_the_drivers_library() {
        governed(ways::OPENED);
    }

    #[test]
    fn the_spellings_for_the_default_stream_of_the_thread() {
        governed(ways::OPENED_PER_THREAD);
    }

    #[test]
    fn in_whatever_is_loaded() {
        governed(ways::DEFAULT_SCOPE);
    }

    #[test]
    fn in_the_whole_program() {
        governed(ways::WHOLE_PROGRAM);
    }

    #[test]
    fn by_the_dlsym_of_before_glibc_2_34() {
        governed(ways::BOUND_OLD);
    }

    #[test]
    fn by_the_dlsym_of_glibc_2_34() {
        governed(ways::BOUND_NEW);
    }

    #[test]
    fn with_versions_that_there_are_not() {
        governed(ways::VERSIONS);
    }

    #[test]
    fn beside_a_library_that_wraps_a_function_and_asks_for_the_next_one() {
        governed(ways::NEXT);
    }

    #[test]
    fn beside_functions_that_the_driver_does_not_have() {
        governed(ways::ABSENT);
    }

    #[test]
    fn after_functions_that_the_driver_does_not_have_and_that_are_asked_for_behind_the_program() {
        governed(ways::ABSENT_NEXT);
    }

    #[test]
    fn before_the_driver_is_loaded_and_afterwards() {
        found_once_loaded(&ours());
    }

    #[test]
    fn in_a_stub_of_the_driver() {
        governed(ways::STUBBED);
    }

    #[test]
    fn by_a_program_that_is_a_stub_of_the_driver_itself() {
        governed(ways::OWN_STUB);
    }

    #[test]
    fn in_a_driver_that_calls_its_own_functions() {
        governed_once(&ours());
    }
}

mod asking_the_driver {
    use super::*;

    #[test]
    fn in_the_first_version() {
        governed(ways::ASKED_1);
    }

    #[test]
    fn in_the_first_version_for_the_default_stream_of_the_thread() {
        governed(ways::ASKED_1_THREAD);
    }

    #[test]
    fn in_the_first_version_by_the_function_that_it_gave_itself() {
        governed(ways::ASKED_1_NESTED);
    }

    #[test]
    fn in_the_second_version() {
        governed(ways::ASKED_2);
    }

    #[test]
    fn in_the_second_version_for_the_default_stream_of_the_thread() {
        governed(ways::ASKED_2_THREAD);
    }

    #[test]
    fn in_the_second_version_by_the_function_that_it_gave_itself() {
        governed(ways::ASKED_2_NESTED);
    }
}

mod going_past {
    use super::*;

    #[test]
    fn a_library_that_binds_deeply_and_is_linked_to_the_driver_is_noticed() {
        bypassed(&ours(), &ways::DEEP_LINKED, "/plugin.so");
    }

    #[test]
    fn a_library_that_binds_deeply_and_opens_the_driver_is_noticed() {
        bypassed(&ours(), &ways::DEEP_OPENING, "/opening_plugin.so");
    }

    #[test]
    fn a_library_that_binds_deeply_and_opens_the_driver_by_its_path_is_noticed() {
        bypassed(&ours(), &ways::DEEP_BY_PATH, "/opening_plugin.so");
    }

    #[test]
    fn a_program_that_starts_the_driver_past_missile_is_noticed() {
        bypassed(&ours(), &ways::DEEP_FROM_THE_START, "/plugin.so");
    }

    #[test]
    fn a_program_that_asks_the_c_librarys_own_dlsym_is_noticed() {
        bypassed(&ours(), &ways::ESCAPED, "the program itself");
    }

    #[test]
    fn a_driver_in_a_namespace_of_its_own_works_and_is_not_seen() {
        left_alone(&ours(), &ways::NAMESPACE);
    }
}

mod deeply {
    use super::*;

    #[test]
    fn a_program_that_needs_no_help_is_governed_all_the_same() {
        for way in [ways::LINKED, ways::OPENED_PER_THREAD, ways::DEFAULT_SCOPE, ways::ASKED_2_NESTED, ways::NEXT] {
            governed(way.deeply());
        }
    }

    #[test]
    fn functions_that_the_driver_does_not_have_are_not_found() {
        governed(ways::ABSENT.deeply());
    }

    #[test]
    fn a_library_that_is_linked_to_the_driver_is_governed() {
        governed(ways::DEEP_LINKED.deeply());
    }

    #[test]
    fn a_library_that_opens_the_driver_is_governed() {
        governed(ways::DEEP_OPENING.deeply());
    }

    #[test]
    fn a_program_that_starts_the_driver_in_such_a_library_is_governed() {
        governed(ways::DEEP_FROM_THE_START.deeply());
    }

    #[test]
    fn a_program_that_asks_the_c_librarys_own_dlsym_is_governed() {
        governed(ways::ESCAPED.deeply());
    }

    #[test]
    fn a_library_that_opens_the_driver_by_its_path_is_noticed() {
        bypassed(&ours(), &ways::DEEP_BY_PATH.deeply(), "/opening_plugin.so");
    }
}
