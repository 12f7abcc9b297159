use super::*;
use crate::structure::LookAlikes;
use crate::{
    Effort, Function, GpuInfo, GpuUuid, Layout, Mask, Measurement, NoTpcs, Quality, Sides, Structure, Uncolorable,
    XorHash,
};
use roxmltree::{Document, Node};
use std::time::Duration;
use units::{Bytes, Nanos, PhysAddr};

const SMS: usize = 6;
const SLICES: usize = 8;

/// A finding on a GPU of which nothing could be told.
fn nothing() -> Finding {
    let gpu = GpuInfo {
        name: "Made <up> & \"quoted\"".into(),
        uuid: GpuUuid([7; 16]),
        sms: SMS as u32,
        driver: Some("580.1".into()),
    };
    Finding {
        gpu,
        levels: Vec::new(),
        colors: 1,
        color_level: None,
        page: Bytes::mib(2),
        pages: Vec::new(),
        uncolorable: Some(Uncolorable::NoXor),
        sm_side: Vec::new(),
        layout: None,
        tpcs: Err(NoTpcs::NoEffect),
        effort: Effort {
            samples: 8,
            contested: 0,
            held_out: 16,
            measured_again: 0,
            reps: 4,
            slice_lines: 0,
            strange_units: 0,
            memory: Bytes::gib(2),
            highest: PhysAddr::new(0x7000_0000),
        },
        took: Nanos::new(1_500_000_000),
    }
}

/// A finding with sides: the parity of bits 12 and 13.
fn with_sides() -> Finding {
    let side = Function::Xor(XorHash { masks: vec![Mask(0x3000)] });
    Finding {
        levels: vec![Level::new("side", side, 1.0, 16)],
        colors: 2,
        color_level: Some(0),
        page: Bytes::kib(4),
        uncolorable: None,
        sm_side: (0..SMS as u32).map(|smid| (smid != 5).then_some(smid % 2)).collect(),
        ..nothing()
    }
}

/// The same with slices. The layout numbers sides the other way round than the level does, as it may.
fn with_slices() -> Finding {
    let lines: Vec<PhysAddr> = (0..64 * 32).map(|line| PhysAddr::new(0x1_0000 + line * 128)).collect();
    let of_line: Vec<u32> = lines.iter().map(|line| 1 ^ Mask(0x3000).parity(*line)).collect();
    let slices: Vec<u32> =
        lines.iter().zip(&of_line).map(|(line, side)| (line.get() / 256 % 4) as u32 + 4 * side).collect();
    let mut cycles = Vec::new();
    for sm in 0..SMS as u32 {
        let far = |side: u32| if side == 1 - sm % 2 { 200 } else { 400 };
        cycles.extend(of_line.iter().zip(&slices).map(|(&side, &slice)| 16 * (far(side) + 7 * slice)));
    }
    let structure = Structure {
        slices: SLICES,
        slice_of_line: slices.into_iter().map(Some).collect(),
        interleave: Bytes::new(256),
        unit: Bytes::kib(1),
        slices_per_unit: 4,
        offsets: (0..4).map(|at| Bytes::new(256 * at)).collect(),
        look_alikes: LookAlikes { of_line: Vec::new(), count: 0, samples: Vec::new() },
        sides: Some(Sides {
            of_slice: (0..SLICES as u32).map(|slice| Some(slice / 4)).collect(),
            of_row: (0..SMS as u32).map(|sm| Some(1 - sm % 2)).collect(),
            of_line,
            unit: Bytes::kib(4),
        }),
        pairs: Vec::new(),
        groups: vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7]],
        rings: vec![vec![0, 2, 1, 3]],
        quality: Quality { clear: 1.0, strange: 0.0, noise: 1.0, twins: 0, partner_margin: f64::INFINITY },
    };
    let latencies = Measurement { smids: (0..SMS as u32).collect(), cycles };
    let layout = Layout { structure, latencies, lines };
    Finding { layout: Some(layout), ..with_sides() }
}

fn picture(finding: &Finding) -> String {
    draw(finding, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

fn texts(picture: &Document) -> Vec<String> {
    picture
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text())
        .map(str::to_owned)
        .collect()
}

fn groups<'a, 'input>(picture: &'a Document<'input>, class: &'a str) -> Vec<Node<'a, 'input>> {
    picture.descendants().filter(|node| node.attribute("class") == Some(class)).collect()
}

fn has(texts: &[String], part: &str) -> bool {
    texts.join(" ").contains(part)
}

#[test]
fn a_picture_is_xml_and_says_which_gpu_and_when() {
    for finding in [nothing(), with_sides(), with_slices()] {
        let picture = picture(&finding);
        let picture = Document::parse(&picture).unwrap();
        let texts = texts(&picture);
        assert!(texts.contains(&finding.gpu.name), "{texts:?}");
        assert!(has(&texts, "2023-11-14T22:13:20Z"), "{texts:?}");
    }
}

#[test]
fn a_picture_is_the_same_each_time() {
    assert_eq!(picture(&with_slices()), picture(&with_slices()));
}

#[test]
fn every_slice_has_a_row_and_every_sm_a_column() {
    let picture = picture(&with_slices());
    let picture = Document::parse(&picture).unwrap();
    let (first_halves, second_halves) = (groups(&picture, "slice"), groups(&picture, "more"));
    assert_eq!((first_halves.len(), second_halves.len()), (SLICES, SLICES));
    // The cells of a row: the sum of its runs' lengths.
    let cells = |row: &Node| -> usize {
        let runs = row.children().filter_map(|path| path.attribute("d")).flat_map(|d| d.split('M').skip(1));
        runs.map(|run| run.split(['h', 'v']).nth(1).unwrap().parse::<usize>().unwrap()).sum()
    };
    assert!(first_halves.iter().zip(&second_halves).all(|(a, b)| cells(a) + cells(b) == SMS));
}

#[test]
fn slices_are_in_the_order_of_their_ring_and_on_the_side_that_the_level_says() {
    let finding = with_slices();
    let ordered = order::Ordered::of(&finding).unwrap();
    assert_eq!(ordered.slices, [4, 5, 6, 7, 0, 2, 1, 3]);
    assert_eq!(ordered.rows, [0, 2, 4, 1, 3, 5]);
    assert_eq!(
        (ordered.side_of_slice(4), ordered.side_of_row(1), ordered.side_of_line(0)),
        (Some(0), Some(1), Some(0))
    );
    assert_eq!(ordered.means(0)[4], Some(228.0));
}

#[test]
fn every_page_has_its_address_and_its_colour() {
    let picture = picture(&with_slices());
    let picture = Document::parse(&picture).unwrap();
    let texts = texts(&picture);
    for page in 0..64 {
        assert!(texts.contains(&format!("{:#x}", 0x1_0000 + page * 4096)), "{texts:?}");
    }
    assert!(has(&texts, "2 colours by side, in pages of 4 KiB"), "{texts:?}");
}

#[test]
fn a_panel_without_anything_to_show_says_so() {
    let (nothing, sides) = (picture(&nothing()), picture(&with_sides()));
    let (nothing, sides) = (texts(&Document::parse(&nothing).unwrap()), texts(&Document::parse(&sides).unwrap()));
    for said in ["neither sides nor slices", "no slices were found", "no SM is on any", "one colour: near and far"] {
        assert!(has(&nothing, said), "{said} is not in {nothing:?}");
    }
    assert!(has(&sides, "only the side is shown"), "{sides:?}");
    assert!(has(&sides, "3 SMs on side 0"), "{sides:?}");
}

#[test]
fn the_longest_picture_is_below_2_mb() {
    let mut finding = with_slices();
    let layout = finding.layout.as_mut().unwrap();
    let (slices, sms, lines) = (160, 192, layout.lines.len());
    layout.structure.slices = slices;
    layout.structure.slice_of_line = (0..lines).map(|line| Some((line % slices) as u32)).collect();
    layout.latencies.smids = (0..sms as u32).collect();
    let mut rng = fastrand::Rng::with_seed(1);
    layout.latencies.cycles = (0..sms * lines).map(|_| 16 * rng.u32(200..600)).collect();
    let length = picture(&finding).len();
    assert!(length < 2_000_000, "{length}");
}

#[test]
fn a_picture_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/gpu.svg");
    save("<svg/>", &path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "<svg/>");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let error = save("<svg/>", &path.join("beneath-a-file")).unwrap_err().to_string();
    assert!(error.contains("gpu.svg") && error.contains("--plot"), "{error}");
}
