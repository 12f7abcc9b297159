//! Solving for XOR masks, with and without wrong measurements.

use fastrand::Rng;
use hashprobe::gf2::{self, Equation, parity};
use proptest::prelude::*;

#[test]
fn right_equations_are_solved() {
    let equation = |terms, value| Equation { terms, value };
    let equations = [equation(0b011, true), equation(0b110, true), equation(0b111, false)];
    assert_eq!(gf2::solve(equations), Some(0b101));
}

#[test]
fn an_unknown_that_no_equation_decides_is_0() {
    assert_eq!(gf2::solve([Equation { terms: 0b1100, value: true }]).map(u64::count_ones), Some(1));
    assert_eq!(gf2::solve([]), Some(0));
}

#[test]
fn a_contradiction_has_no_solution() {
    let wrong = [Equation { terms: 0b11, value: true }, Equation { terms: 0b11, value: false }];
    assert_eq!(gf2::solve(wrong), None);
}

#[test]
fn random_values_fit_nothing() {
    let mut rng = Rng::with_seed(1);
    let noise = (0..2_000).map(|_| Equation { terms: rng.u64(..) & 0x3F_FFFF_F000, value: rng.bool() });
    assert_eq!(gf2::fit(&noise.collect::<Vec<_>>(), 200, &mut Rng::with_seed(2)), None);
}

proptest! {
    #[test]
    fn a_mask_is_found_exactly_though_one_in_a_hundred_is_wrong(
        mask in any::<u64>().prop_map(|bits| bits & 0x3F_FFFF_FF80),
        constant: bool,
        lines in 500usize..3_000,
        wrong in 0.0..0.01f64,
        seed: u64,
    ) {
        let mut rng = Rng::with_seed(seed);
        let unknowns = mask | u64::from(constant) << 63;
        let mut flipped = 0;
        let equations: Vec<Equation> = (0..lines)
            .map(|_| {
                let terms = rng.u64(..) & 0x3F_FFFF_FF80 | 1 << 63;
                let flip = rng.f64() < wrong;
                flipped += usize::from(flip);
                Equation { terms, value: parity(terms & unknowns) != flip }
            })
            .collect();
        let fit = gf2::fit(&equations, 1_000, &mut rng).unwrap();
        prop_assert_eq!(fit.unknowns, unknowns);
        prop_assert_eq!(fit.agreeing, lines - flipped);
    }
}
