//! One latency-sensitive (LS) tenant with a target.

use super::allowance::Freedom;
use super::control::{Controller, Pace};
use super::kinds::Kinds;
use super::probe::Wanted;
use super::reached::Ratios;
use super::request::{Request, Target};
use crate::times::{ALONE_AGAIN, ALONE_DOUBTED, IDLE_TENANT, RATE, REACHED};
use units::Nanos;

/// Requests alone after which more are asked for only now and then: their p99 is within 0.6 % of its rank.
const ENOUGH: usize = 300;
/// The most by which a tenant's own freedom rises beyond that which best-effort (BE) tenants had, while another tenant's is
/// stricter.
const UNTRIED: f64 = 0.1;

/// Whether a tenant's target is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Too few requests were alone to know: BE is as strict as it gets.
    Learning,
    /// It is, or BE is being made stricter so that it is.
    Steered,
    /// BE is as strict as it gets, and it is not kept.
    NotReachable,
}

/// Figures of a tenant's target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// The target.
    pub target: Target,
    /// The p99 of its most frequent kind of requests alone, once it is known.
    pub alone_p99: Option<Nanos>,
    /// The p99 of its requests beside BE work over the last 10 s, as a multiple of that alone; `None` where there are few.
    pub reached_p99: Option<f64>,
    /// Whether the target is kept.
    pub reached: Reached,
    /// The freedom that this tenant's target leaves to BE.
    pub freedom: Freedom,
}

/// One tenant.
#[derive(Clone, Debug)]
pub(super) struct Tenant {
    target: Target,
    kinds: Kinds,
    controller: Controller,
    ratios: Ratios,
    /// Requests a second, and the mean time that one takes, in seconds.
    rate: f64,
    typical: f64,
    read: Option<Nanos>,
    last: Option<Nanos>,
    last_alone: Option<Nanos>,
    was_known: bool,
}

impl Tenant {
    pub(super) fn new(target: Target) -> Self {
        Tenant {
            target,
            kinds: Kinds::default(),
            controller: Controller::default(),
            ratios: Ratios::default(),
            rate: 0.0,
            typical: 0.0,
            read: None,
            last: None,
            last_alone: None,
            was_known: false,
        }
    }

    pub(super) fn aim(&mut self, target: Target) {
        if self.target != target {
            self.target = target;
            self.controller.begin_anew();
        }
    }

    /// Takes in the requests that ended since the last time, beside BE tenants that had the freedom `had`.
    pub(super) fn read(&mut self, requests: &[Request], had: Freedom, now: Nanos) {
        let fresh = |request: &&Request| request.is_believable() && now.saturating_sub(request.ended) < REACHED;
        let requests = || requests.iter().filter(fresh);
        self.measure(requests().count(), now);
        let mut longest = self.ratios.longest();
        for request in requests() {
            let ended = request.ended.min(now);
            self.last = Some(now);
            self.typical += (request.took.as_secs_f64() - self.typical) / 16.0;
            let of_kind = self.kinds.note(request.kind, now);
            if request.alone {
                self.last_alone = Some(now);
                of_kind.alone.add(request.took);
            } else if let Some(known) = of_kind.alone.quantiles() {
                let ratio = request.took.get() as f64 / known.p99.get().max(1) as f64;
                self.ratios.add(ended, ratio);
                longest = longest.max(ratio);
                let pace = self.pace(longest, had);
                self.controller.take(ratio / self.target.factor(), pace, now);
            }
        }
        self.kinds.renew(now);
        let is_known = self.kinds.are_known();
        if !is_known && self.was_known {
            self.ratios.clear();
            self.controller.begin_anew();
        }
        self.was_known = is_known;
    }

    fn measure(&mut self, count: usize, now: Nanos) {
        let passed = now.saturating_sub(self.read.replace(now).unwrap_or(now)).as_secs_f64();
        if passed > 0.0 {
            let fresh = 1.0 - (-passed / RATE.as_secs_f64()).exp();
            self.rate += (count as f64 / passed - self.rate) * fresh;
        }
    }

    fn pace(&self, longest: f64, had: Freedom) -> Pace {
        let limit = self.target.factor();
        Pace { rate: self.rate, headroom: (limit - longest) / (limit - 1.0), up_to: had.get() + UNTRIED }
    }

    /// The freedom that its target leaves to BE tenants; `None` while it has had no request for long.
    pub(super) fn freedom(&self, now: Nanos) -> Option<Freedom> {
        let last = self.last?;
        (now.saturating_sub(last) < IDLE_TENANT).then(|| self.allowed())
    }

    fn allowed(&self) -> Freedom {
        if self.kinds.are_known() { self.controller.freedom() } else { Freedom::STRICTEST }
    }

    /// The time alone that it needs, where it needs any.
    pub(super) fn wants_alone(&self, now: Nanos) -> Option<Wanted> {
        let within = |last: Option<Nanos>, time: Nanos| last.is_some_and(|last| now.saturating_sub(last) < time);
        // Holding BE for a tenant without requests would be for nothing.
        if !within(self.last, REACHED) {
            return None;
        }
        let doubted = self.controller.is_out_of_reach(now);
        let is_due = !self.kinds.are_known()
            || self.kinds.main_has_fewer_than(ENOUGH)
            || !within(self.last_alone, if doubted { ALONE_DOUBTED } else { ALONE_AGAIN });
        let seconds = 2.0 * (self.typical + 1.0 / self.rate.max(0.1));
        is_due.then(|| Wanted(Nanos::new((seconds * 1e9) as u64)))
    }

    pub(super) fn report(&self, now: Nanos) -> Report {
        let reached = match () {
            () if !self.kinds.are_known() => Reached::Learning,
            () if self.controller.is_out_of_reach(now) => Reached::NotReachable,
            () => Reached::Steered,
        };
        Report {
            target: self.target,
            alone_p99: self.kinds.main().alone.quantiles().map(|known| known.p99),
            reached_p99: self.ratios.p99(now),
            reached,
            freedom: self.allowed(),
        }
    }
}
