//! Linear equations over GF(2), exact and with some of them wrong.
//!
//! A hash that XORs address bits is one unknown bit an address bit: each measured line gives one equation, that the
//! unknowns picked by the address's set bits have the parity measured. Gaussian elimination solves them, but one
//! wrong measurement spoils it; so [`fit`] solves random subsets that are a little larger than needed, drops the
//! ones that contradict themselves, and keeps the answer with which most of all equations agree (RANSAC, Fischler
//! and Bolles 1981). Unknown constants are unknowns like others: give them a bit that no address uses.

use fastrand::Rng;

/// The parity of the unknowns named by the set bits of `terms` is `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equation {
    /// Which unknowns take part.
    pub terms: u64,
    /// Their sum.
    pub value: bool,
}

impl Equation {
    /// Whether the equation holds for `unknowns`.
    pub const fn holds(&self, unknowns: u64) -> bool {
        parity(self.terms & unknowns) == self.value
    }
}

/// Whether an odd number of bits is set.
pub const fn parity(bits: u64) -> bool {
    bits.count_ones() % 2 == 1
}

/// The unknowns that most equations agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// The unknowns, a bit each; one that no equation decides is 0.
    pub unknowns: u64,
    /// How many equations hold.
    pub agreeing: usize,
}

/// Solves equations that are all right: `None` where two contradict each other. Undecided unknowns are 0.
pub fn solve(equations: impl IntoIterator<Item = Equation>) -> Option<u64> {
    // By highest term: the one row that begins there, reduced by the rows above.
    let mut rows: [Option<Equation>; 64] = [None; 64];
    'next: for mut equation in equations {
        while let Some(lead) = equation.terms.checked_ilog2() {
            match &mut rows[lead as usize] {
                Some(row) => {
                    equation.terms ^= row.terms;
                    equation.value ^= row.value;
                }
                empty => {
                    *empty = Some(equation);
                    continue 'next;
                }
            }
        }
        if equation.value {
            return None;
        }
    }
    let mut unknowns = 0;
    for (lead, row) in rows.iter().enumerate() {
        if row.is_some_and(|row| !row.holds(unknowns)) {
            unknowns |= 1 << lead;
        }
    }
    Some(unknowns)
}

/// How many equations beyond the number of unknowns a subset has: a subset with a wrong equation, or of no linear
/// function at all, passes for consistent once in 2^24.
const SPARE: usize = 24;
/// How likely it may be that an answer better than the one kept is missed.
const MISSED: f64 = 1e-9;

/// Solves equations of which a few are wrong (up to some percent), from at most `tries` random subsets; `None` where
/// every subset contradicted itself.
pub fn fit(equations: &[Equation], tries: usize, rng: &mut Rng) -> Option<Fit> {
    let terms = equations.iter().fold(0, |all, equation| all | equation.terms);
    let size = (terms.count_ones() as usize + SPARE).min(equations.len());
    let mut order: Vec<usize> = (0..equations.len()).collect();
    let mut best: Option<Fit> = None;
    let mut enough = tries as f64;
    for tried in 0..tries {
        if tried as f64 >= enough {
            break;
        }
        for place in 0..size {
            order.swap(place, rng.usize(place..equations.len()));
        }
        let Some(unknowns) = solve(order[..size].iter().map(|&i| equations[i])) else { continue };
        let agreeing = equations.iter().filter(|equation| equation.holds(unknowns)).count();
        if best.is_none_or(|best| agreeing > best.agreeing) {
            best = Some(Fit { unknowns, agreeing });
            // Were no more equations right than these, a subset of right ones would have come up by then.
            let all_right = (agreeing as f64 / equations.len() as f64).powi(size as i32);
            enough = MISSED.ln() / (1.0 - all_right).ln();
        }
    }
    best
}

/// A subspace of GF(2)^64: everything that XORs of the inserted vectors give.
#[derive(Clone, Debug)]
pub struct Span {
    /// By highest bit: the one row that begins there.
    rows: [u64; 64],
}

impl Default for Span {
    fn default() -> Self {
        Span { rows: [0; 64] }
    }
}

impl Extend<u64> for Span {
    fn extend<I: IntoIterator<Item = u64>>(&mut self, vectors: I) {
        for vector in vectors {
            self.insert(vector);
        }
    }
}

impl FromIterator<u64> for Span {
    fn from_iter<I: IntoIterator<Item = u64>>(vectors: I) -> Self {
        let mut span = Span::default();
        span.extend(vectors);
        span
    }
}

impl Span {
    /// The rest of a vector after elimination, without the leads of the rows: 0 exactly if the span has it.
    pub const fn reduce(&self, mut vector: u64) -> u64 {
        let mut lead = 64;
        while lead > 0 {
            lead -= 1;
            if vector >> lead & 1 == 1 {
                vector ^= self.rows[lead as usize];
            }
        }
        vector
    }

    /// Adds a vector; false where the span had it already.
    pub fn insert(&mut self, mut vector: u64) -> bool {
        while let Some(lead) = vector.checked_ilog2() {
            match &mut self.rows[lead as usize] {
                0 => {
                    self.rows[lead as usize] = vector;
                    return true;
                }
                row => vector ^= *row,
            }
        }
        false
    }

    /// The dimension.
    pub fn rank(&self) -> usize {
        self.rows.iter().filter(|&&row| row != 0).count()
    }

    /// A basis; each vector has a highest bit of its own.
    pub fn basis(&self) -> impl Iterator<Item = u64> {
        self.rows.into_iter().filter(|&row| row != 0)
    }

    /// A basis of the vectors of the bits in `within` that have an even number of bits in common with every vector of
    /// the span, whose bits must lie in `within` as well.
    pub fn complement(&self, within: u64) -> Vec<u64> {
        let mut rows = self.rows;
        let mut leads = 0;
        for lead in 0..64 {
            if rows[lead] == 0 {
                continue;
            }
            // The rows below have no bit of one another's leads any more; clear those of this one.
            for below in 0..lead {
                if rows[below] != 0 && rows[lead] >> below & 1 == 1 {
                    rows[lead] ^= rows[below];
                }
            }
            leads |= 1 << lead;
        }
        let free = (0..64).filter(|&bit| within & !leads & 1 << bit != 0);
        free.map(|bit| {
            let dependent = rows.iter().enumerate().filter(|&(_, row)| row >> bit & 1 == 1);
            dependent.fold(1 << bit, |form, (lead, _)| form | 1 << lead)
        })
        .collect()
    }
}
