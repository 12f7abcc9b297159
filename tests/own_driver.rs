//! The driver that Missile's own programs, and others of the crate cudarc, load: the one that every program gets.

mod harness;

use harness::programs::said;
use harness::{Place, libraries};
use std::fs;
use std::path::PathBuf;

/// A folder in which another driver is found under these names.
fn another_driver(place: &Place, names: &[&str]) -> PathBuf {
    let folder = place.path("another");
    fs::create_dir(&folder).unwrap();
    for name in names {
        fs::copy(libraries().join("sim/libcuda.so.1"), folder.join(name)).unwrap();
    }
    folder
}

const COPY: [&str; 4] = ["bulk", "1M", "--seconds", "0.1"];

#[test]
fn the_simulated_driver_has_both_names_and_so_hides_the_machines_own() {
    let place = Place::new();
    let another = another_driver(&place, &["libcuda.so"]);
    let said = said(place.tenant(&[], "copier", &COPY).env("LD_LIBRARY_PATH", another));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.json()["copies"].as_u64().unwrap() > 0, "{said:?}");
}

#[test]
fn a_second_driver_under_the_other_name_is_refused_with_the_remedy() {
    let place = Place::new();
    let another = another_driver(&place, &["libcuda.so.1", "libcuda.so"]);
    let said = said(place.missile(&["tenant", "calibrate"]).env("LD_LIBRARY_PATH", another).env("SIMGPU_GPU", "h200"));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(
        said.stderr.contains("libcuda.so is another library") && said.stderr.contains("LD_LIBRARY_PATH"),
        "{said:?}"
    );
}
