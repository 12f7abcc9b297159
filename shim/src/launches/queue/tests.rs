//! The queue over a virtual clock, with a GPU that runs one kernel after another.

use super::*;
use abi::cuda::CUfunction;

const AHEAD: Nanos = Nanos::from_micros(100);

fn us(micros: u64) -> Nanos {
    Nanos::from_micros(micros)
}

/// A GPU with one stream, and a host that launches as soon as it may.
struct Run {
    now: Nanos,
    queue: Queue,
    estimates: Estimates,
    /// Ends of the kernels given, and the markers behind them.
    kernels: Vec<(Nanos, Option<Marker>)>,
    /// The time that the GPU had nothing to do since the last reset.
    idle: Nanos,
    /// The most work that was ahead at a launch, that of the kernel under way included.
    most: Nanos,
    in_vain: usize,
}

impl Run {
    fn new() -> Self {
        let now = Nanos::from_millis(1);
        let (queue, estimates) = (Queue::new(), Estimates::new());
        Run { now, queue, estimates, kernels: Vec::new(), idle: Nanos::ZERO, most: Nanos::ZERO, in_vain: 0 }
    }

    fn newest(&self) -> Marker {
        let done = self.kernels.iter().filter(|(end, _)| *end <= self.now);
        done.filter_map(|(_, marker)| *marker).next_back().unwrap_or(0)
    }

    /// Launches a kernel of this kind that takes so long; the host needs two microseconds between launches.
    fn launch(&mut self, kind: Kind, takes: Nanos) {
        let predicted = self.estimates.of(kind);
        let begun = self.now;
        loop {
            self.queue.seen(self.newest(), self.now, &self.estimates);
            let next = self.queue.next(self.now, predicted, kind.is_graph(), AHEAD);
            if next == Next::Launch {
                break;
            }
            if self.now.saturating_sub(begun) > LONGEST {
                self.queue.waited_in_vain(self.now, &self.estimates);
                self.in_vain += 1;
                break;
            }
            self.now += match next {
                Next::Wait(left) if left > us(150) => Nanos::new(left.saturating_sub(us(150)).get() / 2) + us(60),
                _ => Nanos::new(300),
            };
        }
        let last = self.kernels.last().map_or(Nanos::ZERO, |(end, _)| *end);
        self.most = self.most.max(last.saturating_sub(self.now));
        let begins = last.max(self.now + BEGIN);
        self.idle += begins.saturating_sub(last.max(self.now));
        let marker = self.queue.launched(self.now, kind, predicted);
        self.kernels.push((begins + takes, marker));
        if marker.is_some() {
            self.queue.marked(self.now);
        }
        self.now += us(2);
    }

    fn reset(&mut self) {
        (self.idle, self.most) = (Nanos::ZERO, Nanos::ZERO);
    }
}

fn kernel(number: usize) -> Kind {
    Kind::kernel(CUfunction::from_addr(0x1000 + 64 * number), [8, 1, 1])
}

#[test]
fn kernels_longer_than_the_time_ahead_are_given_one_by_one_and_the_gpu_does_not_idle() {
    for takes in [130, 300, 1_000, 12_000] {
        let mut run = Run::new();
        (0..20).for_each(|_| run.launch(kernel(0), us(takes)));
        run.reset();
        let from = run.now;
        (0..50).for_each(|_| run.launch(kernel(0), us(takes)));
        // What a host that sleeps does not see exactly is a part of the kernel's length.
        assert!(run.most <= us(15 + takes / 30) + LEAD, "{takes}: {:?} ahead", run.most);
        let passed = run.now.saturating_sub(from);
        assert!(run.idle.get() * 50 < passed.get(), "{takes}: {:?} idle of {passed:?}", run.idle);
    }
}

#[test]
fn short_kernels_are_queued_up_to_the_time_ahead() {
    let mut run = Run::new();
    (0..300).for_each(|_| run.launch(kernel(0), us(5)));
    run.reset();
    let from = run.now;
    (0..1000).for_each(|_| run.launch(kernel(0), us(5)));
    assert!(run.most <= AHEAD + us(20), "{:?} ahead", run.most);
    assert!(run.idle.get() * 50 < run.now.saturating_sub(from).get(), "{:?} idle", run.idle);
}

#[test]
fn a_step_of_many_different_kernels_is_learned() {
    let lengths: Vec<u64> = (0..120).map(|i| 2 + (i * 37 % 90)).collect();
    let mut run = Run::new();
    let step = |run: &mut Run| lengths.iter().enumerate().for_each(|(i, &takes)| run.launch(kernel(i), us(takes)));
    (0..10).for_each(|_| step(&mut run));
    run.reset();
    let from = run.now;
    (0..10).for_each(|_| step(&mut run));
    assert!(run.most <= AHEAD + us(40), "{:?} ahead", run.most);
    assert!(run.idle.get() * 20 < run.now.saturating_sub(from).get(), "{:?} idle", run.idle);
}

#[test]
fn a_kernel_that_changes_its_length_is_learned_anew() {
    let mut run = Run::new();
    (0..50).for_each(|_| run.launch(kernel(0), us(30)));
    (0..50).for_each(|_| run.launch(kernel(0), us(200)));
    let known = run.estimates.of(kernel(0)).expect("it was seen").get();
    assert!((180_000..220_000).contains(&known), "{known}");
    assert_eq!(run.in_vain, 0);
}

#[test]
fn a_kernel_that_becomes_shorter_is_noticed_by_a_host_that_sleeps() {
    let mut run = Run::new();
    (0..20).for_each(|_| run.launch(kernel(0), us(14_000)));
    (0..60).for_each(|_| run.launch(kernel(0), us(12_000)));
    let known = run.estimates.of(kernel(0)).expect("it was seen").get();
    assert!((11_700_000..12_300_000).contains(&known), "{known}");
}

#[test]
fn a_kernel_that_waits_for_a_later_launch_is_not_waited_for_long() {
    let mut run = Run::new();
    (0..5).for_each(|_| run.launch(kernel(0), us(50)));
    let begun = run.now;
    run.launch(kernel(1), Nanos::from_millis(60_000));
    run.launch(kernel(2), us(1));
    assert_eq!(run.in_vain, 1);
    assert!(run.now.saturating_sub(begun) < Nanos::from_millis(101), "{:?}", run.now.saturating_sub(begun));
    run.launch(kernel(2), us(1));
    assert_eq!(run.in_vain, 1, "the stream is left alone then");
}

#[test]
fn a_stream_that_is_left_alone_is_followed_again_once_its_work_is_done() {
    let mut run = Run::new();
    run.launch(kernel(1), Nanos::from_millis(300));
    // As many as are queued while it is left alone: more than there is room to remember each.
    (0..1_000).for_each(|_| run.launch(kernel(2), us(100)));
    assert_eq!(run.in_vain, 1);
    run.now += Nanos::from_millis(1_000);
    run.reset();
    (0..100).for_each(|_| run.launch(kernel(2), us(100)));
    assert_eq!(run.in_vain, 1);
    assert!(run.most < us(200), "{:?} ahead", run.most);
}

#[test]
fn markers_go_around() {
    let mut run = Run::new();
    run.queue.last_marker = Marker::MAX - 5;
    run.kernels.push((Nanos::ZERO, Some(Marker::MAX - 5)));
    (0..20).for_each(|_| run.launch(kernel(0), us(130)));
    assert_eq!(run.in_vain, 0);
}
