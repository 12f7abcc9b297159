//! Which of two groups each line is in, by the vote of several SMs.
//!
//! An SM sees lines of its own side near and the others far; an SM of the other side sees the inverse. So every SM's
//! labels are first turned to agree with one SM's, then the majority counts. Lines that the SMs disagree on are
//! marked as contested.

use crate::humps::{self, Humps};
use crate::{Measurement, Uncolorable};

/// The least separation of two humps (see [`humps`]).
const LEAST_SEPARATION: f64 = 3.0;
/// The least share of lines in the smaller hump: two sides hold half each.
const LEAST_SHARE: f64 = 0.25;
/// The least share of lines on which an SM must agree with the first one's labels or their inverse.
const LEAST_AGREEMENT: f64 = 0.9;

/// The groups of some lines.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vote {
    /// Whether the line is of the group that is far for the first SM.
    pub(crate) far: Vec<bool>,
    /// Whether SMs disagreed on the line.
    pub(crate) contested: Vec<bool>,
}

impl Vote {
    /// The vote over a measurement of `lines` lines, or why there are no two groups.
    pub(crate) fn of(measurement: &Measurement, lines: usize) -> Result<Vote, Uncolorable> {
        let rows = measurement.cycles.chunks_exact(lines);
        let blocks = rows.len();
        let mut voters: Vec<(f64, Vec<bool>)> = Vec::with_capacity(blocks);
        let mut failure = Uncolorable::OneHump { separation: 0.0 };
        for row in rows {
            match two_humps(row) {
                Ok(humps) => voters.push((humps.separation, row.iter().map(|&c| c >= humps.threshold).collect())),
                Err(reason) => failure = reason,
            }
        }
        if 2 * voters.len() <= blocks {
            return Err(failure);
        }
        voters.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut ballots: Vec<Vec<bool>> = voters.into_iter().map(|(_, ballot)| ballot).collect();
        let first = ballots[0].clone();
        ballots.retain_mut(|ballot| align(ballot, &first));
        if 2 * ballots.len() <= blocks {
            return Err(Uncolorable::SmsDisagree { agreeing: ballots.len(), sms: blocks });
        }
        let far_votes = |line: usize| ballots.iter().filter(|ballot| ballot[line]).count();
        Ok(Vote {
            far: (0..lines).map(|line| 2 * far_votes(line) > ballots.len()).collect(),
            contested: (0..lines).map(|line| !matches!(far_votes(line), n if n == 0 || n == ballots.len())).collect(),
        })
    }
}

fn two_humps(row: &[u32]) -> Result<Humps, Uncolorable> {
    let humps = humps::split(row).ok_or(Uncolorable::OneHump { separation: 0.0 })?;
    if humps.separation < LEAST_SEPARATION {
        return Err(Uncolorable::OneHump { separation: humps.separation });
    }
    if humps.far_share.min(1.0 - humps.far_share) < LEAST_SHARE {
        return Err(Uncolorable::Unbalanced { far_share: humps.far_share });
    }
    Ok(humps)
}

/// Turns a ballot to agree with the first one; false where neither it nor its inverse does.
fn align(ballot: &mut [bool], first: &[bool]) -> bool {
    let same = ballot.iter().zip(first).filter(|(a, b)| a == b).count() as f64 / first.len() as f64;
    if same < 0.5 {
        ballot.iter_mut().for_each(|far| *far = !*far);
    }
    same.max(1.0 - same) >= LEAST_AGREEMENT
}
