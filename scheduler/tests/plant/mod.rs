//! A made-up GPU over a virtual clock: latency-sensitive (LS) tenants beside best-effort (BE) work, and an arbiter that
//! looks every 50 ms. Its numbers are of no card; they are there so that freedom costs latency in the ways that it does.

use scheduler::{Allowance, Decision, Freedom, Kind, Report, Request, Target, Targets};
use units::Nanos;

const LOOK: f64 = 0.050;

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers for the same seed.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }
}

/// A server: its requests alone are log-normal about a median, in seconds.
#[derive(Clone, Copy)]
pub struct Server {
    pub rate: f64,
    pub median: f64,
    pub spread: f64,
    pub kind: u64,
}

/// Logarithm of 1.05 over 2.33: a p99 alone of 1.05 times the median.
pub const TIGHT: f64 = 0.021;

pub const BERT: Server = Server { rate: 200.0, median: 1.6e-3, spread: TIGHT, kind: 1 };
pub const RESNET: Server = Server { rate: 200.0, median: 0.7e-3, spread: TIGHT, kind: 2 };

/// Best-effort work.
#[derive(Clone, Copy)]
pub struct Work {
    /// The length of its kernels, in seconds.
    pub kernel: f64,
    /// The part by which LS kernels take longer while they share the SMs with it.
    pub pressure: f64,
    /// Cost of a switch of context to it and back, in seconds.
    pub switch: f64,
    /// The part by which LS requests take longer whatever it is allowed, as it takes bandwidth.
    pub always: f64,
}

pub const COPIES: Work = Work { kernel: 80e-6, pressure: 0.10, switch: 0.30e-3, always: 0.0 };
pub const GEMM_4096: Work = Work { kernel: 250e-6, pressure: 0.20, switch: 0.45e-3, always: 0.0 };
pub const GEMM_16384: Work = Work { kernel: 12e-3, pressure: 0.45, switch: 0.60e-3, always: 0.0 };

/// Means that hold BE back.
#[derive(Clone, Copy, PartialEq)]
pub enum Means {
    /// Launches held, bounded and masked, under MPS.
    Launches,
    /// Time slices alone.
    Slices,
}

impl Work {
    /// The time that an LS request which takes `alone` takes beside this work.
    fn beside(&self, alone: f64, allowance: &Allowance, means: Means, random: &mut Random) -> f64 {
        let alone = alone * (1.0 + self.always);
        match means {
            Means::Slices if random.uniform() >= allowance.share => alone,
            Means::Slices => alone + self.switch * (0.5 + 0.5 * random.uniform()),
            Means::Launches => {
                let ahead = allowance.ahead.as_secs_f64();
                let is_masked = self.kernel > ahead;
                let shared = if is_masked { 1.0 - f64::from(allowance.reserve) / 8.0 } else { 0.0 };
                let squeezed = shared * self.pressure * random.uniform();
                let waits = if is_masked { 20e-6 } else { ahead };
                alone * (1.0 + squeezed) + random.uniform() * waits
            }
        }
    }

    /// The part of what it does alone that it does under an allowance.
    pub fn progress(&self, allowance: &Allowance, means: Means) -> f64 {
        const LAUNCH: f64 = 10e-6;
        let ahead = allowance.ahead.as_secs_f64();
        match means {
            Means::Slices => allowance.share,
            Means::Launches if self.kernel > ahead => 1.0 - f64::from(allowance.reserve) / 16.0,
            Means::Launches => ahead / (ahead + LAUNCH),
        }
    }
}

/// One tenant in the plant.
struct Tenant {
    server: Server,
    next: f64,
    /// Requests on their way: begun, takes, alone.
    flying: Vec<(f64, f64, bool)>,
    /// Those beside BE work that ended: when, and the time that they took over the server's true p99 alone.
    beside: Vec<(f64, f64)>,
    alone: u64,
}

pub struct Plant {
    pub targets: Targets,
    pub means: Means,
    pub work: Option<Work>,
    pub decision: Decision,
    tenants: Vec<Tenant>,
    random: Random,
    now: f64,
    /// The freedom and the progress of BE, by look.
    pub looks: Vec<(f64, f64, f64)>,
    pub held: f64,
}

fn nanos(seconds: f64) -> Nanos {
    Nanos::new(1_000_000_000 + (seconds * 1e9) as u64)
}

impl Plant {
    pub fn new(means: Means, work: Option<Work>, seed: u64) -> Plant {
        let decision = Decision { allowance: None, probe_alone: false };
        let random = Random(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let (tenants, looks) = (Vec::new(), Vec::new());
        Plant { targets: Targets::new(), means, work, decision, tenants, random, now: 0.0, looks, held: 0.0 }
    }

    /// Adds a server; its slot.
    pub fn add(&mut self, server: Server, target: Option<f64>) -> usize {
        let slot = self.tenants.len();
        self.targets.aim(slot, target.map(|factor| Target::new(factor).expect("a target")));
        let next = self.now + self.random.exponential(1.0 / server.rate);
        self.tenants.push(Tenant { server, next, flying: Vec::new(), beside: Vec::new(), alone: 0 });
        slot
    }

    pub fn change(&mut self, slot: usize, server: Server) {
        self.tenants[slot].server = server;
        self.tenants[slot].next = self.now + self.random.exponential(1.0 / server.rate);
    }

    pub fn now(&self) -> f64 {
        self.now
    }

    pub fn run(&mut self, seconds: f64) {
        let end = self.now + seconds;
        while self.now < end {
            self.look();
        }
    }

    fn look(&mut self) {
        let until = self.now + LOOK;
        let allowance = self.decision.allowance.unwrap_or(Allowance::of(Freedom::FREEST));
        let held = self.decision.probe_alone;
        for slot in 0..self.tenants.len() {
            let tenant = &mut self.tenants[slot];
            while tenant.next < until {
                let server = tenant.server;
                let takes = server.median * (server.spread * self.random.normal()).exp();
                let (takes, alone) = match self.work {
                    // What BE had ahead runs out before requests are alone.
                    Some(_) if held && tenant.next > self.now + 3e-3 => (takes, true),
                    Some(work) => (work.beside(takes, &allowance, self.means, &mut self.random), false),
                    None => (takes, true),
                };
                tenant.flying.push((tenant.next, takes, alone));
                tenant.next += self.random.exponential(1.0 / server.rate);
            }
        }
        self.now = until;
        for slot in 0..self.tenants.len() {
            let tenant = &mut self.tenants[slot];
            let mut requests = Vec::new();
            tenant.flying.retain(|&(begun, takes, alone)| {
                let ended = begun + takes;
                if ended <= until {
                    let p99 = tenant.server.median * (tenant.server.spread * 2.326).exp();
                    if alone {
                        tenant.alone += 1
                    } else {
                        tenant.beside.push((ended, takes / p99))
                    }
                    let kind = Kind(tenant.server.kind);
                    requests.push(Request {
                        kind,
                        took: nanos(takes).saturating_sub(nanos(0.0)),
                        alone,
                        ended: nanos(ended),
                    });
                }
                ended > until
            });
            self.targets.read(slot, &requests, nanos(until));
        }
        self.held += if held { LOOK } else { 0.0 };
        self.decision = self.targets.decide(self.work.is_some(), nanos(until));
        let allowance = self.decision.allowance.unwrap_or(Allowance::of(Freedom::FREEST));
        let progress = self.work.map_or(0.0, |work| work.progress(&allowance, self.means));
        self.looks.push((until, allowance.freedom.get(), progress));
    }

    pub fn report(&self, slot: usize) -> Report {
        self.targets.report(slot, nanos(self.now)).expect("a target")
    }

    /// The p99 over the true p99 alone of a tenant's requests beside BE work from a time on.
    pub fn reached(&self, slot: usize, from: f64) -> f64 {
        let beside = self.tenants[slot].beside.iter().filter(|&&(ended, _)| ended >= from);
        let mut ratios: Vec<_> = beside.map(|&(_, ratio)| ratio).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios[(ratios.len() * 99).div_ceil(100) - 1]
    }

    fn mean(&self, from: f64, of: impl Fn(&(f64, f64, f64)) -> f64) -> f64 {
        let late = || self.looks.iter().filter(|&&(at, ..)| at >= from);
        late().map(of).sum::<f64>() / late().count() as f64
    }

    /// The mean freedom of BE from a time on.
    pub fn freedom(&self, from: f64) -> f64 {
        self.mean(from, |&(_, freedom, _)| freedom)
    }

    /// The mean progress of BE from a time on.
    pub fn progress(&self, from: f64) -> f64 {
        self.mean(from, |&(.., progress)| progress)
    }
}
