//! The probe and its solver on latencies of a real H200.

use fastrand::Rng;
use flate2::read::GzDecoder;
use hashprobe::gf2::{self, Equation};
use hashprobe::{Bench, BenchError, GpuInfo, GpuUuid, Mask, Measurement, Options, Stretch};
use std::io::Read;
use units::{Bytes, DeviceVa, PhysAddr};

/// The bits of the H200's side mask that lie within 2 MiB.
const MASK_WITHIN_2_MIB: u64 = 0xAB000;

fn recording(compressed: &[u8]) -> Vec<u32> {
    let mut bytes = Vec::new();
    GzDecoder::new(compressed).read_to_end(&mut bytes).unwrap();
    bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))).collect()
}

/// Plays back the latencies of every line of one 2 MiB piece, whose physical address is taken for 0.
struct Playback {
    info: GpuInfo,
    memory: [Stretch; 1],
    rows: Vec<Vec<u32>>,
}

impl Playback {
    fn of_lines() -> Playback {
        let cycles = recording(include_bytes!("data/h200-lines.u16.gz"));
        let rows: Vec<Vec<u32>> = cycles.chunks_exact(16_384).map(<[u32]>::to_vec).collect();
        let info = GpuInfo { name: "NVIDIA H200".into(), uuid: GpuUuid::default(), sms: 8, driver: None };
        let memory = [Stretch { va: DeviceVa::new(0), bytes: Bytes::mib(2), phys: PhysAddr::new(0) }];
        Playback { info, memory, rows }
    }
}

impl Bench for Playback {
    fn gpu(&self) -> &GpuInfo {
        &self.info
    }

    fn memory(&self) -> &[Stretch] {
        &self.memory
    }

    fn vram(&self) -> Bytes {
        Bytes::mib(2)
    }

    fn latencies(&mut self, blocks: u32, lines: &[DeviceVa], _reps: u32) -> Result<Measurement, BenchError> {
        let smids: Vec<u32> = (0..blocks).map(|block| block % self.info.sms).collect();
        let mut cycles = Vec::new();
        for &smid in &smids {
            let row = &self.rows[smid as usize];
            cycles.extend(lines.iter().map(|line| row[line.get() as usize / 128]));
        }
        Ok(Measurement { smids, cycles })
    }
}

#[test]
fn a_probe_of_recorded_lines_finds_the_mask_and_the_sides_of_the_sms() {
    let options = Options { samples: 2_384, held_out: 14_000, reps: 6, slices: true, seed: 5 };
    let finding = hashprobe::probe(&mut Playback::of_lines(), &options, &mut |_| ()).unwrap();
    assert_eq!(finding.levels[0].masks, [Mask(MASK_WITHIN_2_MIB)]);
    assert_eq!((finding.levels[0].accuracy, finding.colors, finding.page), (1.0, 2, Bytes::kib(4)));
    // SMs 0, 1, 8 and 9 are of one side, 2 to 5 of the other.
    let first = finding.sm_side[0].unwrap();
    let expected = [0, 0, 1, 1, 1, 1, 0, 0].map(|other| Some(first ^ other));
    assert_eq!(finding.sm_side, expected);
}

#[test]
fn pages_of_many_pieces_give_the_mask_and_one_constant_a_piece() {
    let (pieces, pages) = (16, 512);
    let cycles = recording(include_bytes!("data/h200-pages.u16.gz"));
    // Between the humps, 256 to 320 and 432 to 528 cycles.
    let far = |sm: usize, page: usize| cycles[sm * pieces * pages + page] > 380;
    for sm in 0..4 {
        // A piece's unknown constant is a term of its own, above the address bits.
        let equation = |page: usize| Equation {
            terms: ((page % pages) as u64 * 4096) | (1 << (40 + page / pages)),
            value: far(sm, page),
        };
        let equations: Vec<Equation> = (0..pieces * pages).map(equation).collect();
        let fit = gf2::fit(&equations, 100, &mut Rng::with_seed(3)).unwrap();
        assert_eq!(fit.unknowns & 0x1F_FFFF, MASK_WITHIN_2_MIB, "seen from SM {sm}");
        assert_eq!(fit.agreeing, equations.len());
    }
}
