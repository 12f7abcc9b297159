//! Turns on an engine, by the arithmetic alone.

use super::*;

const COPY: Costs = Costs { switch: Nanos::new(1_500), preempt: Nanos::new(6_000) };
const GRAPHICS: Costs = Costs { switch: Nanos::from_micros(250), preempt: Nanos::from_micros(250) };
const LONG: Nanos = Nanos::from_millis(10_000);

fn micros(n: u64) -> Nanos {
    Nanos::from_micros(n)
}

fn group(key: u64, slice: u64) -> Entry {
    Entry { key, slice: micros(slice), lease: LONG, ..Entry::default() }
}

/// Adds a command to a group with the slice at the time, all in microseconds.
fn ask(state: &mut State, (key, slice): (u64, u64), id: u64, length: u64, at: u64, costs: &Costs) {
    let room = state.add(&group(key, slice), micros(at), costs, |entry| {
        let free = entry.commands.iter_mut().find(|command| command.id == 0);
        let command = Command { id, left: micros(length), ..Command::default() };
        free.map(|free| *free = command).is_some()
    });
    assert!(room);
}

/// The end of a command in microseconds.
fn end(state: &State, key: u64, id: u64) -> f64 {
    let ended = state.clone().ended_by(key, id, LONG, &COPY).expect("it ends");
    ended.get() as f64 / 1e3
}

/// Time served until so many microseconds, in microseconds.
fn served(state: &State, key: u64, until: u64, costs: &Costs) -> f64 {
    let mut state = state.clone();
    state.advance(micros(until), costs);
    state.entry(key).expect("has work").served.get() as f64 / 1e3
}

#[test]
fn a_group_alone_runs_on_command_after_command() {
    let mut state = State::default();
    ask(&mut state, (1, 1), 1, 5_000, 100, &COPY);
    ask(&mut state, (1, 1), 2, 50, 120, &COPY);
    assert_eq!((end(&state, 1, 1), end(&state, 1, 2)), (5_100.0, 5_150.0));
}

#[test]
fn a_newcomer_waits_for_the_rest_of_a_slice_and_then_preempts() {
    for (slice, at, begins) in [(1024, 500, 1_024 + 6), (1, 500, 506), (1024, 3_000, 3 * 1_024 + 6)] {
        let mut state = State::default();
        ask(&mut state, (1, slice), 1, 10_000, 0, &COPY);
        ask(&mut state, (2, 1024), 1, 13, at, &COPY);
        assert_eq!(end(&state, 2, 1), (begins + 13) as f64, "slice {slice} at {at}");
        // Two switches, and what the newcomer copied.
        assert_eq!(end(&state, 1, 1), 10_000.0 + 13.0 + 3.0, "slice {slice} at {at}");
    }
}

#[test]
fn whoever_asks_late_sees_the_same() {
    let mut early = State::default();
    ask(&mut early, (1, 1), 1, 10_000, 0, &COPY);
    let mut late = early.clone();
    for at in 1..50 {
        early.advance(micros(at * 100), &COPY);
    }
    ask(&mut early, (2, 1024), 1, 13, 5_000, &COPY);
    ask(&mut late, (2, 1024), 1, 13, 5_000, &COPY);
    assert_eq!((end(&early, 1, 1), end(&early, 2, 1)), (end(&late, 1, 1), end(&late, 2, 1)));
}

#[test]
fn shares_are_in_proportion_to_slices_and_short_slices_lose_to_switches() {
    let shares = |slices: [u64; 2], costs: &Costs| {
        let mut state = State::default();
        for (key, slice) in [(1, slices[0]), (2, slices[1])] {
            ask(&mut state, (key, slice), 1, 1_000_000, 0, costs);
        }
        [1, 2].map(|key| served(&state, key, 100_000, costs) / 100_000.0)
    };
    let near = |found: f64, wanted: f64| (found - wanted).abs() < 0.03;
    let [one, other] = shares([200, 50], &COPY);
    assert!(near(one, 0.8) && near(other, 0.2), "{one} {other}");
    let [one, other] = shares([1024, 1024], &COPY);
    assert!(near(one, 0.5) && near(other, 0.5), "{one} {other}");
    let [one, other] = shares([1, 1], &COPY);
    assert!(near(one + other, 39.0 / 55.0) && near(one, other), "{one} {other}");
    let [one, other] = shares([1, 1], &GRAPHICS);
    assert!(one + other < 0.03, "{one} {other}");
    let [one, other] = shares([2048, 2048], &GRAPHICS);
    assert!(near(one + other, 0.9), "{one} {other}");
}

#[test]
fn a_newcomer_takes_nothing_from_the_others_order() {
    let mut state = State::default();
    for key in [1, 2] {
        ask(&mut state, (key, 1), 1, 1_000_000, 0, &COPY);
    }
    for round in 0..200 {
        ask(&mut state, (3, 1024), round + 1, 13, 1_000 + 500 * round, &COPY);
        state.take(3, micros(1_200 + 500 * round), &COPY, |entry| {
            assert!(entry.commands[0].ended > Nanos::ZERO, "a newcomer is done soon");
            entry.commands[0] = Command::default();
        });
    }
    let [one, other] = [1, 2].map(|key| served(&state, key, 101_000, &COPY));
    assert!((one / other - 1.0).abs() < 0.1, "{one} and {other}");
}

#[test]
fn a_stopped_group_stands_still_until_it_is_let_go() {
    let mut state = State::default();
    ask(&mut state, (1, 1024), 1, 1_000, 0, &COPY);
    state.stop(1, true, false, micros(400), &COPY);
    state.advance(micros(5_000), &COPY);
    assert_eq!(state.command(1, 1).expect("there").left, micros(600));
    state.stop(1, false, false, micros(5_000), &COPY);
    assert_eq!(end(&state, 1, 1), 5_600.0);
}

#[test]
fn a_gentle_stop_lets_the_turn_end() {
    let mut state = State::default();
    ask(&mut state, (1, 1_000), 1, 5_000, 0, &COPY);
    ask(&mut state, (2, 1), 1, 10, 50, &COPY);
    state.stop(1, true, true, micros(100), &COPY);
    assert_eq!(state.clone().entry(1).map(|entry| entry.lingers), Some(true));
    assert!((1_000.0..1_020.0).contains(&end(&state, 2, 1)));
    assert_eq!(served(&state, 1, 9_000, &COPY), 1_000.0);
}

#[test]
fn a_group_whose_lease_ran_out_holds_nobody_up() {
    let mut state = State::default();
    ask(&mut state, (1, 1_000_000), 1, 1_000_000, 0, &COPY);
    state.entry(1).expect("there").lease = micros(50_000);
    ask(&mut state, (2, 1), 1, 10, 100, &COPY);
    assert!((50_000.0..50_020.0).contains(&end(&state, 2, 1)));
}

#[test]
fn a_slow_host_keeps_the_engine_in_its_own_turn_only() {
    let mut state = State::default();
    ask(&mut state, (1, 1), 1, 1_000, 0, &COPY);
    state.command(1, 1).expect("there").floor = micros(900);
    ask(&mut state, (2, 1024), 1, 13, 3_000, &COPY);
    assert_eq!(end(&state, 2, 1), 3_019.0, "the newcomer is not slowed");
    state.advance(micros(4_000), &COPY);
    assert_eq!(state.command(1, 1).expect("there").left, micros(900));
    state.command(1, 1).expect("there").floor = Nanos::ZERO;
    assert_eq!(end(&state, 1, 1), 4_900.0);
}

#[test]
fn a_command_that_follows_at_once_keeps_the_turn() {
    let mut state = State::default();
    ask(&mut state, (1, 1024), 1, 100, 0, &COPY);
    ask(&mut state, (2, 1024), 1, 10_000, 50, &COPY);
    state.take(1, micros(100), &COPY, |entry| entry.commands[0] = Command::default());
    ask(&mut state, (1, 1024), 2, 100, 100, &COPY);
    assert_eq!(end(&state, 1, 2), 200.0);
}

#[test]
fn time_served_is_reached_at_a_time() {
    let mut state = State::default();
    assert!(state.add(&group(1, 2_048), micros(10), &GRAPHICS, |entry| {
        entry.open += 1;
        true
    }));
    assert_eq!(state.clone().served_by(1, micros(300), micros(5_000), &GRAPHICS), Some(micros(310)));
    assert_eq!(state.clone().served_by(1, micros(300), micros(200), &GRAPHICS), None);
    // A newcomer with the engine for a millisecond, and two switches.
    ask(&mut state, (2, 2_048), 1, 1_000, 3_000, &GRAPHICS);
    let reached = state.clone().served_by(1, micros(5_000), LONG, &GRAPHICS);
    assert_eq!(reached, Some(micros(5_010 + 1_000 + 500)));
}
