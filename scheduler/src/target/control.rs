//! The controller: one tenant's freedom for the best-effort (BE) tenants, moved by each of its requests beside their work.
//!
//! A request beyond the limit (target times p99 alone) takes a step from the freedom, one within gives a hundredth of it
//! back, so that the freedom rests where about one in a hundred is beyond: Robbins and Monro's (1951) way to a quantile. Between
//! its ends the freedom cannot wander, so the number beyond is that part of all requests, give or take the number of steps in
//! the whole range, whatever the GPU does (Gibbs and Candès 2021). The step follows from the rate of requests, so there is
//! nothing to tune.
//!
//! A hundredth of a step a request is slow. Where the longest of the last requests is far within the limit, and few were
//! beyond it of late, freedom rises faster; both vanish where one in a hundred is beyond.

use super::allowance::Freedom;
use crate::times::UNREACHED;
use units::Nanos;

/// The part of the requests that may be beyond the limit: what a p99 means.
const TOLERATED: f64 = 0.01;
/// The part that is steered for. Where BE work makes a few requests much slower and the others none, a p99 of exactly one
/// in a hundred is as slow as those by half of all chances.
const AIMED: f64 = 0.008;
/// Freedom lost in a second in which all requests are beyond: from the freest to the strictest in 0.4 s.
const FALL_A_SECOND: f64 = 2.5;
/// Most freedom that one request takes, at 50 requests a second and fewer: fewer than 20 do not tell that all are beyond.
const MOST_STEP: f64 = 0.05;
/// The most by which freedom rises faster than a hundredth of a step: through the whole range in some seconds.
const HASTE: f64 = 16.0;
/// Requests over which the part beyond the limit is remembered.
const REMEMBERED: f64 = 1_000.0;
/// Most of the part that is remembered: a BE tenant that comes after a wild one shall not wait longer for its freedom.
const WORST_REMEMBERED: f64 = 3.0 * TOLERATED;
/// Freedom down to which BE tenants are as strict as it gets, and up to which they still are: a few requests within the
/// limit raise it from the end, one beyond takes it back.
const PINNED: f64 = 0.01;
const UNPINNED: f64 = 0.1;
/// The part beyond the limit at which a request has to be for the target to be out of reach: what measurements differ by.
const FAR: f64 = 1.05;
/// Requests at the strictest over which those far beyond are counted.
const COUNTED: f64 = 2_000.0;

/// One tenant's controller.
#[derive(Clone, Debug, Default)]
pub(super) struct Controller {
    freedom: f64,
    /// The part of the requests that was beyond the limit of late.
    beyond: f64,
    strictest: Option<Strictest>,
}

/// The time since which BE tenants are as strict as it gets, and the requests in it.
#[derive(Clone, Copy, Debug)]
struct Strictest {
    since: Nanos,
    requests: f64,
    far_beyond: f64,
}

/// The steps by which requests move the freedom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Requests a second.
    pub(super) rate: f64,
    /// Distance of the longest of the last requests from the limit: 1 for as if alone, 0 for at the limit or beyond.
    pub(super) headroom: f64,
    /// The freedom up to which it may rise. Requests say nothing of a freedom far beyond the one that BE tenants had.
    pub(super) up_to: f64,
}

impl Controller {
    /// The freedom that the tenant's target allows.
    pub(super) fn freedom(&self) -> Freedom {
        Freedom::new(self.freedom)
    }

    /// Takes in a request that ended by `now` and took so many times the limit.
    pub(super) fn take(&mut self, of_limit: f64, pace: Pace, now: Nanos) {
        let is_beyond = of_limit > 1.0;
        let step = (FALL_A_SECOND / pace.rate.max(0.0)).min(MOST_STEP);
        let sign = if is_beyond { 1.0 } else { 0.0 };
        self.beyond = (self.beyond + (sign - self.beyond) / REMEMBERED).min(WORST_REMEMBERED);
        if is_beyond {
            self.freedom -= step * (1.0 - AIMED);
        } else if self.freedom < pace.up_to {
            let trusted = (1.0 - 2.0 * self.beyond / AIMED).clamp(0.0, 1.0);
            let haste = 1.0 + (HASTE - 1.0) * pace.headroom.clamp(0.0, 1.0) * trusted;
            self.freedom += step * AIMED * haste;
        }
        self.freedom = self.freedom.clamp(0.0, 1.0);
        self.count(of_limit > FAR, now);
    }

    fn count(&mut self, is_far_beyond: bool, now: Nanos) {
        if self.freedom > UNPINNED {
            self.strictest = None;
        } else if self.freedom <= PINNED && self.strictest.is_none() {
            self.strictest = Some(Strictest { since: now, requests: 0.0, far_beyond: 0.0 });
        }
        if let Some(strictest) = &mut self.strictest {
            strictest.requests += 1.0;
            strictest.far_beyond += if is_far_beyond { 1.0 } else { 0.0 };
            if strictest.requests >= COUNTED {
                (strictest.requests, strictest.far_beyond) = (strictest.requests / 2.0, strictest.far_beyond / 2.0);
            }
        }
    }

    /// Whether requests are beyond the limit although BE tenants are as strict as it gets.
    pub(super) fn is_out_of_reach(&self, now: Nanos) -> bool {
        self.strictest.is_some_and(|strictest| {
            // Twice the deviation of chance more than what is tolerated, and two more for the first few.
            let tolerated = TOLERATED * strictest.requests;
            let surely = tolerated + 2.0 * tolerated.sqrt() + 2.0;
            now.saturating_sub(strictest.since) >= UNREACHED && strictest.far_beyond > surely
        })
    }

    /// Forgets the requests of a limit that is no longer the limit; the freedom stays.
    pub(super) fn begin_anew(&mut self) {
        (self.beyond, self.strictest) = (0.0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { rate: 200.0, headroom: 0.0, up_to: 1.0 };

    fn at(freedom: f64) -> Controller {
        Controller { freedom, ..Controller::default() }
    }

    fn run(controller: &mut Controller, beyond_each: u64, pace: Pace, requests: u64) {
        for request in 0..requests {
            let now = Nanos::new((request as f64 / pace.rate * 1e9) as u64);
            controller.take(if request % beyond_each == beyond_each - 1 { 2.0 } else { 0.9 }, pace, now);
        }
    }

    #[test]
    fn the_freest_are_the_strictest_after_less_than_half_a_second_of_requests_beyond_the_limit() {
        for rate in [50.0, 200.0, 10_000.0] {
            let mut controller = at(1.0);
            run(&mut controller, 1, Pace { rate, ..PACE }, (rate * 0.45) as u64);
            assert_eq!(controller.freedom(), Freedom::STRICTEST, "{rate}");
        }
    }

    #[test]
    fn eight_in_a_thousand_beyond_the_limit_leave_the_freedom_as_it_is() {
        let mut controller = at(0.5);
        run(&mut controller, 125, PACE, 10_000);
        assert!((controller.freedom().get() - 0.5).abs() < 0.02, "{controller:?}");
    }

    #[test]
    fn a_few_requests_a_minute_do_not_throw_it_about() {
        let mut controller = at(0.5);
        controller.take(2.0, Pace { rate: 0.0, ..PACE }, Nanos::ZERO);
        assert!(controller.freedom().get() > 0.4);
    }

    #[test]
    fn headroom_frees_within_seconds_unless_many_were_beyond_of_late() {
        let roomy = Pace { headroom: 1.0, ..PACE };
        let mut trusted = at(0.0);
        run(&mut trusted, u64::MAX, roomy, 800);
        assert_eq!(trusted.freedom(), Freedom::FREEST);
        let mut distrusted = at(0.5);
        run(&mut distrusted, 1, roomy, 40);
        let before = distrusted.freedom().get();
        run(&mut distrusted, u64::MAX, roomy, 600);
        assert!(distrusted.freedom().get() - before < 0.1, "{distrusted:?}");
    }

    #[test]
    fn it_rises_no_further_than_what_was_tried() {
        let mut controller = at(0.2);
        run(&mut controller, u64::MAX, Pace { headroom: 1.0, up_to: 0.3, ..PACE }, 5_000);
        assert!(controller.freedom().get() < 0.31, "{controller:?}");
    }

    #[test]
    fn a_target_is_out_of_reach_once_the_strictest_do_not_keep_it() {
        let mut controller = at(0.3);
        run(&mut controller, 10, PACE, 2_000);
        let now = Nanos::from_millis(10_000);
        assert!(controller.is_out_of_reach(now), "{controller:?}");
        let mut kept = at(0.3);
        run(&mut kept, 100, PACE, 2_000);
        assert!(!kept.is_out_of_reach(now));
        run(&mut controller, u64::MAX, PACE, 2_000);
        assert!(!controller.is_out_of_reach(now), "it is kept since");
    }
}
