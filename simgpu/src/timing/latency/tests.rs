use super::*;
use units::Bytes;

const NOISE: u32 = 12;

/// A built-in GPU without outliers, whose lines all look as they are, but for twins.
fn quiet(name: &str, twins: u32) -> GpuSpec {
    let mut spec = GpuSpec::builtin(name).expect("built in").expect("sound");
    spec.latency.twins = twins;
    spec.latency.outlier_rate = 0.0;
    spec.latency.confusion = 0.0;
    spec
}

/// The latencies of a line from every SM: the fastest of 8.
fn timed(spec: &GpuSpec, distances: &Distances, at: PhysAddr, random: &mut Random) -> Vec<u32> {
    let fastest = Fastest::of(8, &spec.latency);
    let slice = distances.looks_like(at) as usize;
    (0..spec.sms).map(|sm| distances.row(sm)[slice] + fastest.draw(random)).collect()
}

fn lines(count: u64) -> impl Iterator<Item = PhysAddr> {
    (0..count).map(|line| PhysAddr::new(line * 0x35_6780))
}

#[test]
fn near_and_far_are_told_apart() {
    let spec = quiet("h200", 2);
    let (latency, mut random) = (&spec.latency, Random::new(1));
    let distances = Distances::of(&spec, spec.sms);
    for at in lines(64) {
        for (sm, cycles) in timed(&spec, &distances, at, &mut random).into_iter().enumerate() {
            let near = spec.side_of(at) == spec.sm_side(sm as u32);
            let base = if near { latency.near_cycles } else { latency.far_cycles };
            assert!((base..=base + latency.spread_cycles + latency.noise_cycles).contains(&cycles));
        }
    }
}

#[test]
fn with_one_side_everything_is_near() {
    let spec = quiet("v100", 0);
    let distances = Distances::of(&spec, spec.sms);
    let near = spec.latency.near_cycles..=spec.latency.near_cycles + spec.latency.spread_cycles;
    assert!((0..spec.sms).all(|sm| distances.row(sm).iter().all(|cycles| near.contains(cycles))));
}

#[test]
fn lines_of_one_slice_agree_within_noise_and_those_of_two_do_not() {
    for name in GpuSpec::builtin_names() {
        let spec = quiet(name, 0);
        let (distances, mut random) = (Distances::of(&spec, spec.sms), Random::new(2));
        let noise = f64::from(spec.latency.noise_cycles);
        let timed: Vec<_> =
            lines(120).map(|at| (spec.hash.slice_of(at), timed(&spec, &distances, at, &mut random))).collect();
        for (i, (a, first)) in timed.iter().enumerate() {
            for (b, second) in &timed[..i] {
                let most = first.iter().zip(second).map(|(x, y)| x.abs_diff(*y)).max().expect("an SM");
                assert_eq!(a == b, f64::from(most) <= noise, "{name}: {most} cycles apart at most");
            }
        }
    }
}

#[test]
fn a_line_is_confused_for_ever() {
    let mut spec = quiet("adversarial", 0);
    spec.latency.confusion = 0.05;
    let distances = Distances::of(&spec, 1);
    let confused: Vec<_> = lines(100_000).filter(|&at| distances.looks_like(at) != spec.hash.slice_of(at)).collect();
    assert!((4_700..5_300).contains(&confused.len()), "{} of 100000", confused.len());
    let again =
        |at: &PhysAddr| distances.looks_like(*at) == distances.looks_like(*at + (LINE.saturating_sub(Bytes::new(1))));
    assert!(confused.iter().all(again), "all of a line looks the same");
    let mut others: Vec<_> = confused.iter().map(|&at| distances.looks_like(at)).collect();
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 16, "any slice can be the other one");
}

#[test]
fn where_all_lines_are_confused_none_looks_like_its_own_slice() {
    let mut spec = quiet("adversarial", 0);
    spec.latency.confusion = 1.0;
    let distances = Distances::of(&spec, 1);
    assert!(lines(1000).all(|at| distances.looks_like(at) != spec.hash.slice_of(at)));
}

/// The pairs of slices that have the same seats as seen from every SM, near or far.
fn pairs(spec: &GpuSpec) -> Vec<(usize, usize)> {
    let distances = Distances::of(spec, spec.sms);
    let latency = &spec.latency;
    let seat =
        |cycles: u32| cycles - if cycles < latency.far_cycles { latency.near_cycles } else { latency.far_cycles };
    let seats = |slice: usize| -> Vec<u32> { (0..spec.sms).map(|sm| seat(distances.row(sm)[slice])).collect() };
    let slices = spec.hash.slices() as usize;
    (0..slices).flat_map(|b| (0..b).map(move |a| (a, b))).filter(|&(a, b)| seats(a) == seats(b)).collect()
}

#[test]
fn as_many_pairs_as_are_asked_for_look_alike() {
    for twins in [0, 1, 23] {
        let pairs = pairs(&quiet("h200", twins));
        assert_eq!(pairs.len(), 2 * twins as usize, "{pairs:?}");
        assert!(pairs.iter().all(|(a, b)| a / 47 == b / 47), "{pairs:?}");
    }
}

#[test]
fn slices_that_look_alike_have_neighbours_that_do_not() {
    assert_eq!(pairs(&quiet("h200", 2)), [(0, 23), (11, 34), (47, 70), (58, 81)]);
}

/// The means and the shares of a draw against as many honest tries.
#[test]
fn one_draw_is_like_the_fastest_of_many_tries() {
    for (tries, outlier_rate) in [(1, 0.0), (1, 0.2), (2, 0.3), (8, 0.2), (6, 0.9)] {
        let mut latency = quiet("h200", 0).latency;
        (latency.noise_cycles, latency.outlier_rate) = (NOISE, outlier_rate);
        let (fastest, mut random) = (Fastest::of(tries, &latency), Random::new(3));
        let honest = |random: &mut Random| {
            let one = |random: &mut Random| {
                let noise = below(random.next(), u64::from(NOISE) + 1) as u32;
                noise + if unit_interval(random.next()) < outlier_rate { OUTLIER } else { 0 }
            };
            (0..tries).map(|_| one(random)).min().expect("a try")
        };
        let count = 200_000;
        let drawn: Vec<_> = (0..count).map(|_| fastest.draw(&mut random)).collect();
        let tried: Vec<_> = (0..count).map(|_| honest(&mut random)).collect();
        let share =
            |of: &[u32], value: u32| of.iter().filter(|&&cycles| cycles <= value).count() as f64 / f64::from(count);
        for value in [0, 1, 2, 4, 8, NOISE, OUTLIER - 1, OUTLIER, OUTLIER + 3, OUTLIER + NOISE] {
            let (drawn, tried) = (share(&drawn, value), share(&tried, value));
            assert!((drawn - tried).abs() < 0.006, "{tries} tries, at most {value}: {drawn} and {tried}");
        }
    }
}

#[test]
fn the_noise_of_an_h200_is_as_measured() {
    let spec = quiet("h200", 0);
    let (fastest, mut random) = (Fastest::of(6, &spec.latency), Random::new(4));
    let drawn: Vec<_> = (0..100_000).map(|_| f64::from(fastest.draw(&mut random))).collect();
    let mean = drawn.iter().sum::<f64>() / 1e5;
    let deviation = (drawn.iter().map(|cycles| (cycles - mean).powi(2)).sum::<f64>() / 1e5).sqrt();
    assert!((1.3..1.7).contains(&deviation), "{deviation}");
}
