//! Donors: objects of the pager's own, whose pages of the right colour take the place of others.
//!
//! A donor has pages of every colour; those of the tenant's are its pieces. Pieces are taken so that runs stay whole
//! where possible, since each is a map call: first one of just the length, then a longer one, which is cut, then the
//! longest there is. What an allocation leaves over serves the next one, and a donor of which no piece is in use goes
//! at once, so that nothing is held back from the program.

use super::plan::{self, Patch, Piece, Run};
use crate::base::lock::Lock;
use crate::base::log::debug;
use crate::rm::request;
use region::{HashTable, Why};
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_int;
use std::sync::MutexGuard;
use units::{Bytes, PhysAddr};

/// The most bytes of one donor: a few pieces in use keep no more than this.
const LARGEST: Bytes = Bytes::mib(32);
const SMALLEST: Bytes = Bytes::mib(2);
/// Times that other threads may take what this one made before it gives up.
const TRIES: usize = 8;

/// The place that donors come from, and what their pieces are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Source {
    pub(crate) fd: c_int,
    pub(crate) client: u32,
    pub(crate) parent: u32,
    pub(crate) hash: HashTable,
    pub(crate) color: u32,
}

impl Source {
    /// Whether pieces of the one serve the other.
    fn serves(&self, other: &Source) -> bool {
        Source { fd: 0, ..*self } == Source { fd: 0, ..*other }
    }
}

/// A donor that is to be freed.
#[derive(Debug, PartialEq)]
struct Empty {
    fd: c_int,
    client: u32,
    parent: u32,
    handle: u32,
}

/// The donors of one source.
#[derive(Debug)]
struct Shelf {
    source: Source,
    /// Bytes of each donor that are in use, by handle.
    in_use: HashMap<u32, Bytes>,
    /// Pieces that nobody uses, by length.
    free: BTreeMap<Bytes, Vec<Piece>>,
}

impl Shelf {
    fn new(source: Source) -> Self {
        Shelf { source, in_use: HashMap::new(), free: BTreeMap::new() }
    }

    fn is_free(&self) -> Bytes {
        self.free.iter().map(|(len, pieces)| Bytes::new(len.get() * pieces.len() as u64)).sum()
    }

    fn add(&mut self, handle: u32, phys: PhysAddr, runs: &[Run]) {
        self.in_use.insert(handle, Bytes::ZERO);
        for &run in runs {
            self.put(Piece { donor: handle, phys: phys + run.offset, run });
        }
    }

    fn put(&mut self, piece: Piece) {
        self.free.entry(piece.run.len).or_default().push(piece);
    }

    /// A piece of at most `len` bytes, the best there is.
    fn pick(&mut self, len: Bytes) -> Option<Piece> {
        let (&best, _) = self.free.range(len..).next().or_else(|| self.free.iter().next_back())?;
        let pieces = self.free.get_mut(&best)?;
        let mut piece = pieces.pop()?;
        if pieces.is_empty() {
            self.free.remove(&best);
        }
        if piece.run.len > len {
            let rest = Run { offset: piece.run.offset + len, len: piece.run.len - len };
            self.put(Piece { donor: piece.donor, phys: piece.phys + len, run: rest });
            piece.run.len = len;
        }
        if let Some(in_use) = self.in_use.get_mut(&piece.donor) {
            *in_use += piece.run.len;
        }
        Some(piece)
    }

    /// Pieces in the place of all `runs`, or how many bytes are missing.
    fn take(&mut self, runs: &[Run]) -> Result<Vec<Patch>, Bytes> {
        let need: Bytes = runs.iter().map(|run| run.len).sum();
        let free = self.is_free();
        if free < need {
            return Err(need - free);
        }
        let mut patches = Vec::with_capacity(runs.len());
        for run in runs {
            let mut at = run.offset;
            while at < run.end() {
                // There is enough in all, so there is always a piece.
                let Some(piece) = self.pick(run.end() - at) else { break };
                patches.push(Patch { at, piece });
                at += piece.run.len;
            }
        }
        Ok(patches)
    }

    /// Pieces that are not in use any more; the donors that are empty with them.
    fn give_back(&mut self, pieces: impl Iterator<Item = Piece> + Clone) -> Vec<Empty> {
        for piece in pieces.clone() {
            if let Some(in_use) = self.in_use.get_mut(&piece.donor) {
                *in_use = in_use.saturating_sub(piece.run.len);
            }
        }
        for piece in pieces {
            if self.in_use.get(&piece.donor).is_some_and(|&in_use| in_use > Bytes::ZERO) {
                self.put(piece);
            }
        }
        self.take_empty()
    }

    fn take_empty(&mut self) -> Vec<Empty> {
        let Source { fd, client, parent, .. } = self.source;
        let unused = self.in_use.extract_if(|_, in_use| *in_use == Bytes::ZERO);
        let empty: Vec<Empty> = unused.map(|(handle, _)| Empty { fd, client, parent, handle }).collect();
        if !empty.is_empty() {
            for pieces in self.free.values_mut() {
                pieces.retain(|piece| self.in_use.contains_key(&piece.donor));
            }
            self.free.retain(|_, pieces| !pieces.is_empty());
        }
        empty
    }
}

static SHELVES: Lock<Vec<Shelf>> = Lock::new(Vec::new());

fn shelves() -> MutexGuard<'static, Vec<Shelf>> {
    SHELVES.lock()
}

fn with_shelf<T>(source: &Source, act: impl FnOnce(&mut Shelf) -> T) -> T {
    let mut shelves = shelves();
    let found = shelves.iter().position(|shelf| shelf.source.serves(source));
    let place = found.unwrap_or_else(|| {
        shelves.push(Shelf::new(*source));
        shelves.len() - 1
    });
    act(&mut shelves[place])
}

/// Takes pieces in the place of all `runs`, from new donors where those at hand do not suffice.
pub(crate) fn take(source: &Source, runs: &[Run]) -> Result<Vec<Patch>, Why> {
    let mut missing = match with_shelf(source, |shelf| shelf.take(runs)) {
        Ok(patches) => return Ok(patches),
        Err(missing) => missing,
    };
    // Nothing of what others left is taken before there is enough in all. New donors are this thread's alone until
    // they are put up together, with what is then taken from them.
    let mut made: Vec<(u32, PhysAddr, Vec<Run>)> = Vec::new();
    for _ in 0..TRIES {
        if let Err(why) = make(source, missing, &mut made) {
            made.into_iter().for_each(|(handle, ..)| {
                free(Empty { fd: source.fd, client: source.client, parent: source.parent, handle });
            });
            return Err(why);
        }
        let taken = with_shelf(source, |shelf| {
            made.drain(..).for_each(|(handle, phys, runs)| shelf.add(handle, phys, &runs));
            shelf.take(runs)
        });
        match taken {
            Ok(patches) => return Ok(patches),
            Err(still) => missing = still,
        }
    }
    with_shelf(source, Shelf::take_empty).into_iter().for_each(free);
    Err(Why::NoDonor)
}

/// Makes donors that together have `missing` bytes of the colour.
fn make(source: &Source, missing: Bytes, made: &mut Vec<(u32, PhysAddr, Vec<Run>)>) -> Result<(), Why> {
    let mut left = missing;
    while left > Bytes::ZERO {
        let wanted = Bytes::new(left.get().saturating_mul(source.hash.colors().into()));
        let size = wanted.min(LARGEST).checked_round_up(SMALLEST).ok_or(Why::NoDonor)?;
        let (handle, phys, size) = make_one(source, size)?;
        let of_color = |color| color == source.color;
        let runs = plan::runs(&source.hash, phys, size, of_color, usize::MAX).unwrap_or_default();
        let got: Bytes = runs.iter().map(|run| run.len).sum();
        made.push((handle, phys, runs));
        if got == Bytes::ZERO {
            // Where whole donors are of other colours, looking for one of this would take the VRAM.
            return Err(Why::NoDonor);
        }
        left = left.saturating_sub(got);
    }
    Ok(())
}

/// Makes a donor in one piece, a smaller one where there is none of that size.
fn make_one(source: &Source, mut size: Bytes) -> Result<(u32, PhysAddr, Bytes), Why> {
    loop {
        if let Ok((handle, memory)) = request::alloc_memory(source.fd, source.client, source.parent, size) {
            if memory.is_contiguous() {
                return Ok((handle, PhysAddr::new(memory.offset), size));
            }
            free(Empty { fd: source.fd, client: source.client, parent: source.parent, handle });
        }
        if size <= SMALLEST {
            return Err(Why::NoDonor);
        }
        size = Bytes::new(size.get() / 2).checked_round_up(SMALLEST).ok_or(Why::NoDonor)?;
    }
}

/// Gives pieces back; frees the donors of which none is in use any more.
pub(crate) fn give_back(source: &Source, patches: &[Patch]) {
    let empty = with_shelf(source, |shelf| shelf.give_back(patches.iter().map(|patch| patch.piece)));
    empty.into_iter().for_each(free);
}

/// A client of the driver's is gone, and with it the donors in it.
pub(crate) fn forget(client: u32) {
    shelves().retain(|shelf| shelf.source.client != client);
}

fn free(donor: Empty) {
    if let Err(status) = request::free(donor.fd, donor.client, donor.parent, donor.handle) {
        debug!("an object of the pager's was not freed ({status})");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf() -> Shelf {
        let hash = HashTable::new(4096, &[0x3000]).expect("a table");
        Shelf::new(Source { fd: 0, client: 1, parent: 2, hash, color: 0 })
    }

    fn run(page: u64, pages: u64) -> Run {
        Run { offset: Bytes::kib(4 * page), len: Bytes::kib(4 * pages) }
    }

    /// Each page of the patches: where it is shown, and which page of which donor it is.
    fn pages(patches: &[Patch]) -> Vec<(u64, u32, u64)> {
        let of_patch = |patch: &Patch| {
            let (at, from) = (patch.at.get() / 4096, patch.piece.run.offset.get() / 4096);
            let donor = patch.piece.donor;
            (0..patch.piece.run.len.get() / 4096).map(move |page| (at + page, donor, from + page)).collect::<Vec<_>>()
        };
        patches.iter().flat_map(of_patch).collect()
    }

    #[test]
    fn runs_are_replaced_by_pieces_of_their_length_where_there_are_any() {
        let mut shelf = shelf();
        shelf.add(5, PhysAddr::new(0), &[run(0, 1), run(3, 2), run(7, 1)]);
        let patches = shelf.take(&[run(10, 2), run(20, 1), run(30, 1)]).expect("enough");
        assert_eq!(patches.len(), 3);
        assert_eq!(pages(&patches)[..2], [(10, 5, 3), (11, 5, 4)]);
    }

    #[test]
    fn longer_pieces_are_cut_and_shorter_ones_are_put_together() {
        let mut shelf = shelf();
        shelf.add(5, PhysAddr::new(0x10_0000), &[run(0, 3), run(8, 1)]);
        let patches = shelf.take(&[run(1, 2), run(5, 2)]).expect("enough");
        let shown = pages(&patches);
        assert_eq!(shown.iter().map(|page| page.0).collect::<Vec<_>>(), [1, 2, 5, 6]);
        assert!(patches.iter().all(|patch| patch.piece.phys == PhysAddr::new(0x10_0000) + patch.piece.run.offset));
        let mut used: Vec<u64> = shown.iter().map(|page| page.2).collect();
        used.sort_unstable();
        assert_eq!(used, [0, 1, 2, 8]);
    }

    #[test]
    fn too_little_is_not_taken_in_part() {
        let mut shelf = shelf();
        shelf.add(5, PhysAddr::new(0), &[run(0, 2)]);
        assert_eq!(shelf.take(&[run(0, 2), run(4, 1)]), Err(Bytes::kib(4)));
        assert_eq!(shelf.is_free(), Bytes::kib(8));
    }

    #[test]
    fn what_is_left_over_serves_the_next_and_an_empty_donor_goes() {
        let mut shelf = shelf();
        shelf.add(5, PhysAddr::new(0), &[run(0, 2), run(4, 2)]);
        let first = shelf.take(&[run(0, 2)]).expect("enough");
        let second = shelf.take(&[run(0, 2)]).expect("enough");
        assert_eq!(shelf.give_back(first.iter().map(|patch| patch.piece)), []);
        let third = shelf.take(&[run(9, 1), run(12, 1)]).expect("what the first gave back");
        assert_eq!(shelf.give_back(second.iter().map(|patch| patch.piece)), []);
        let empty = shelf.give_back(third.iter().map(|patch| patch.piece));
        assert_eq!(empty, [Empty { fd: 0, client: 1, parent: 2, handle: 5 }]);
        assert_eq!((shelf.is_free(), shelf.in_use.len()), (Bytes::ZERO, 0));
    }

    #[test]
    fn a_color_costs_hardly_more_map_calls_than_it_has_runs() {
        // The sides of an H200 and of an H100.
        for (masks, at_most) in [([0x1C_BD6A_B000], 155), ([0x13_A78B_3000], 140)] {
            let hash = HashTable::new(4096, &masks).expect("a table");
            let source = Source { fd: 0, client: 1, parent: 2, hash, color: 1 };
            let (mut shelf, mut calls, mut runs_in_all) = (Shelf::new(source), 0, 0);
            let size = Bytes::mib(4);
            let mut rng = 1u64;
            for object in 0..64 {
                let mut somewhere = || {
                    rng = rng.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
                    PhysAddr::new(rng >> 28 & !(Bytes::mib(2).get() - 1))
                };
                let runs = plan::runs(&hash, somewhere(), size, |color| color != 1, usize::MAX).expect("no limit");
                runs_in_all += runs.len();
                let patches = loop {
                    match shelf.take(&runs) {
                        Ok(patches) => break patches,
                        Err(_) => {
                            let phys = somewhere();
                            let of_color = plan::runs(&hash, phys, size, |color| color == 1, usize::MAX);
                            shelf.add(1000 * object + shelf.in_use.len() as u32, phys, &of_color.expect("no limit"));
                        }
                    }
                };
                calls += patches.len();
            }
            let per_2_mib = calls / 64 / 2;
            assert!(per_2_mib <= at_most, "{masks:x?}: {per_2_mib} map calls for 2 MiB");
            assert!(calls * 100 <= runs_in_all * 102, "{calls} for {runs_in_all} runs of the other color");
        }
    }
}
