//! Random and illegal arguments to every governed call: with the library and without, the same result codes and the same
//! memory.
//!
//! The client (`examples/fuzz`) draws everything from a seed and prints a digest of all that it saw. Each seed runs bare
//! and governed in several ways, and the digests must be the same. `MISSILE_FUZZ_CALLS=1000000 cargo test --release
//! --test fuzz` makes so many calls in all; by default there are as many as a few seconds allow. Where two runs differ,
//! `fuzz --seed S --calls N --from A --to B --deep` shows the calls one by one.

mod harness;

use harness::programs::{Said, said};
use harness::{Place, example_path};
use std::process::{Command, Stdio};

/// A way of being governed.
struct Way {
    name: &'static str,
    flags: &'static [&'static str],
    /// Whether other tenants copy meanwhile.
    contended: bool,
}

const WAYS: [Way; 4] = [
    Way { name: "best-effort", flags: &["--class", "be"], contended: false },
    Way { name: "latency-sensitive", flags: &["--class", "ls"], contended: false },
    Way { name: "uncoloured", flags: &["--class", "be", "--color", "off"], contended: false },
    Way { name: "gated", flags: &["--class", "be", "--copies", "gate"], contended: true },
];

/// So many end within seconds, also on a busy machine.
const CALLS_OF_A_SEED: u64 = 6_250;

/// How many calls all runs make together.
fn calls_in_all() -> u64 {
    std::env::var("MISSILE_FUZZ_CALLS").ok().map_or(100_000, |calls| calls.parse().expect("a number of calls"))
}

/// Lines of the client, without its last one, which counts.
#[track_caller]
fn seen(way: &str, seed: u64, said: &Said) -> Vec<String> {
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{way}, seed {seed}");
    said.stdout.lines().filter(|line| !line.starts_with('{')).map(str::to_owned).collect()
}

fn arguments(seed: u64, calls: u64) -> [String; 4] {
    ["--seed".into(), seed.to_string(), "--calls".into(), calls.to_string()]
}

fn bare(seed: u64, calls: u64) -> Vec<String> {
    let place = Place::new();
    seen("bare", seed, &said(place.bare("fuzz", &[]).args(arguments(seed, calls))))
}

fn governed(way: &Way, seed: u64, calls: u64) -> Vec<String> {
    let place = Place::with_table();
    let _arbiter = place.up(&[]);
    let mut copier = way.contended.then(|| {
        let mut command = place.tenant(&["--class", "ls"], "copier", &["ls", "256K", "300", "--seconds", "3600"]);
        let copier = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the copier");
        place.wait_for_tenant(copier.id(), "the copier", |tenant| tenant["h2d_bytes"].as_u64() > Some(0));
        copier
    });
    let said = said(place.tenant(way.flags, "fuzz", &[]).args(arguments(seed, calls)));
    if let Some(copier) = &mut copier {
        copier.kill().expect("it runs");
        copier.wait().expect("it ends");
    }
    let top = place.wait_for("nobody", |top| top["tenants"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(top["maps"]["used"], 0, "{}: nothing is left", way.name);
    seen(way.name, seed, &said)
}

#[test]
fn every_governed_call_answers_as_it_does_without_the_library() {
    assert!(Command::new(example_path("fuzz")).arg("--help").output().is_ok(), "the example is built");
    let calls = CALLS_OF_A_SEED;
    // Each seed's calls are made once bare and once in its way.
    for seed in 1..=calls_in_all().div_ceil(2 * calls) {
        let way = &WAYS[seed as usize % WAYS.len()];
        let (without, with) = std::thread::scope(|scope| {
            let without = scope.spawn(|| bare(seed, calls));
            let with = governed(way, seed, calls);
            (without.join().expect("the bare run"), with)
        });
        let first = with.iter().zip(&without).find(|(with, without)| with != without);
        assert_eq!(first, None, "{}, seed {seed}: calls up to the number at the left differ", way.name);
        assert_eq!(with.len(), without.len(), "{}, seed {seed}", way.name);
    }
}
