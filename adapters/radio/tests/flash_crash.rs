//! Power goes at each write and each erase: what was acknowledged is there, and nothing else.

mod support;

use embedded_storage::nor_flash::NorFlash;
use quickcheck::{QuickCheck, TestResult};
use quorate::{ClusterId, NodeId, Rng, SnapshotId};
use quorate_radio::{Flash, FlashError, FlashOptions, Store};
use support::model::{Model, enact, records, snapshots};
use support::nor::{Nor, NorError};
use support::scribe::Deed;

const OPTIONS: FlashOptions = FlashOptions {
    cluster: ClusterId::new(7),
    node: NodeId::new(3),
    from: 256,
    pages: 32,
    record_bytes: 400,
    snapshot_bytes: 300,
};

/// What a board was told, and what it asked for last.
#[derive(Clone, Debug, Default)]
struct Witness {
    model: Model,
    asked: Option<Deed>,
    epoch: u32,
    /// Lives that the snapshot that comes in has seen.
    lives: u32,
}

impl Witness {
    /// Opens the store, sees that it holds what was acknowledged, and does deeds until power goes or `deeds` are done.
    fn live<F: NorFlash<Error = NorError>>(
        &mut self,
        device: F,
        options: FlashOptions,
        rng: &mut Rng,
        deeds: usize,
    ) -> Result<(), FlashError<NorError>> {
        let mut flash = Flash::open(device, options)?;
        assert!(flash.epoch() > self.epoch, "a life is counted twice");
        self.epoch = flash.epoch();
        self.lives += 1;
        self.check(&mut flash);
        for _ in 0..deeds {
            let deed = self.model.deed(rng, flash.is_tight());
            if matches!(deed, Deed::Piece { offset: 0, .. }) {
                self.lives = 0;
            }
            self.asked = Some(deed.clone());
            enact(&mut flash, &deed)?;
            self.model = self.model.after(&deed);
            self.asked = None;
        }
        self.check(&mut flash);
        Ok(())
    }

    /// The store holds what was acknowledged, and may hold what was asked for when power went.
    fn check<S: Store<Error = FlashError<NorError>>>(&mut self, flash: &mut S) {
        let log = records(flash).expect("nothing is damaged");
        let found = snapshots(flash).expect("nothing is damaged");
        let asked = self.asked.take();
        let mut possible = candidates(&self.model, asked.as_ref());
        if self.lives > 2 {
            // Each life takes a page; a snapshot that cannot be ended in its pages begins anew.
            possible.extend(possible.clone().into_iter().map(|model| Model { incoming: None, ..model }));
        }
        let Some(held) = possible.iter().find(|model| model.admits(&log, &found)) else {
            let short =
                |log: &[Vec<u8>]| log.iter().map(|it| (it.first().copied(), it.len())).collect::<Vec<_>>();
            let Model { log: before, keep, incoming, made, begun } = &self.model;
            panic!(
                "log {:?} keep {keep:?} incoming {incoming:?} made {made:?} begun {begun:?}\nasked {asked:?}\nholds {:?} {found:?}",
                short(before),
                short(&log)
            );
        };
        self.model = held.clone();
        // What was not acknowledged may yet be found to be whole, as long as there was no restart.
        match asked {
            Some(Deed::Piece { of, offset, len }) => self.model.begun.push((of, offset + len as u64)),
            Some(Deed::Image(of)) => self.model.begun.push((of, of.size)),
            Some(Deed::Append(_) | Deed::Restart { .. }) | None => {}
        }
        // The store knows better what is there of what came in, and of what may have come back.
        let incoming = self.model.incoming.and_then(|(of, _)| found.iter().find(|(at, _)| *at == of));
        self.model.incoming = incoming.copied();
    }
}

/// What may be held after power went in a deed. A snapshot that is begun in place of another may have cost it already.
fn candidates(before: &Model, asked: Option<&Deed>) -> Vec<Model> {
    let mut possible = vec![before.clone()];
    let Some(deed) = asked else { return possible };
    let after = before.after(deed);
    match deed {
        Deed::Piece { offset: 0, .. } => {
            possible.push(Model { incoming: None, begun: after.begun.clone(), ..before.clone() });
        }
        Deed::Image(_) => possible.push(Model { made: None, begun: after.begun.clone(), ..before.clone() }),
        Deed::Append(_) | Deed::Restart { .. } | Deed::Piece { .. } => {}
    }
    possible.insert(0, after);
    possible
}

/// Lives through `deeds` deeds with power cut in operation `cut`, and some lives more, cut short at random.
fn crash<const WORD: usize, const PAGE: usize, const READ: usize>(
    options: FlashOptions,
    seed: u64,
    deeds: usize,
    cut: u64,
) -> bool {
    let mut device = Nor::<WORD, PAGE, READ>::new(options.pages as usize + 1, seed ^ cut);
    let (mut rng, mut witness) = (Rng::new(seed), Witness::default());
    device.cut_at = Some(cut);
    let ended = witness.live(&mut device, options, &mut rng, deeds);
    if ended.is_ok() {
        return false;
    }
    assert_eq!(ended, Err(FlashError::Device(NorError::Off)));
    let mut rng = Rng::new(seed ^ cut);
    for _ in 0..3 {
        device.cut_at = Some(device.operations + rng.next() % 60);
        match witness.live(&mut device, options, &mut rng, 4) {
            Ok(()) | Err(FlashError::Device(NorError::Off)) => {}
            Err(error) => panic!("{error}"),
        }
        device.power_on();
    }
    for _ in 0..3 {
        witness.live(&mut device, options, &mut rng, 5).expect("power stays");
    }
    true
}

/// One in how many is tried; all of them with `EVERY_CUT` in the environment, which takes minutes.
fn stride(stride: usize) -> usize {
    if std::env::var_os("EVERY_CUT").is_some() { 1 } else { stride }
}

#[test]
fn a_cut_at_any_write_or_erase_keeps_what_was_acknowledged_and_invents_nothing() {
    let mut cuts = 0;
    for seed in 1..=2 {
        cuts += (seed..)
            .step_by(stride(37))
            .take_while(|cut| crash::<4, 256, 1>(OPTIONS, seed, 120, *cut))
            .count();
    }
    println!("{cuts} cuts");
    assert!(cuts > 200, "{cuts} cuts only");
}

#[test]
fn so_it_does_with_words_and_pages_of_other_sizes() {
    let wide = FlashOptions { from: 2048, pages: 24, ..OPTIONS };
    let cuts = (0..).step_by(stride(2)).take_while(|cut| crash::<32, 2048, 4>(wide, 3, 60, *cut)).count();
    let bytes = FlashOptions { from: 4096, pages: 24, ..OPTIONS };
    let more = (0..).step_by(stride(197)).take_while(|cut| crash::<1, 4096, 1>(bytes, 4, 60, *cut)).count();
    let eights = FlashOptions { from: 512, pages: 32, ..OPTIONS };
    let most = (0..).step_by(stride(37)).take_while(|cut| crash::<8, 512, 8>(eights, 5, 60, *cut)).count();
    println!("{cuts} cuts of words of 32 bytes, {more} of single bytes, {most} of words of 8");
    assert!(cuts.min(more).min(most) > 20, "{cuts}, {more} and {most} cuts only");
}

/// A store with a long history, and what it holds.
fn grown(seed: u64) -> (Nor<4, 256>, Model) {
    let mut device = Nor::new(33, seed);
    let (mut rng, mut witness) = (Rng::new(seed), Witness::default());
    for deeds in [40, 30, 1, 20] {
        witness.live(&mut device, OPTIONS, &mut rng, deeds).expect("power stays");
    }
    (device, witness.model)
}

/// Opens a damaged store. What it says must be a typed error, or what it held; a snapshot that came in may be shorter.
fn open_damaged(mut device: Nor<4, 256>, model: &Model, what: &str) -> bool {
    let mut flash = match Flash::open(&mut device, OPTIONS) {
        Ok(flash) => flash,
        Err(FlashError::Corrupt { .. } | FlashError::NotEmpty { .. }) => return false,
        Err(error) => panic!("{what}: {error}"),
    };
    let (Some(log), Some(found)) = (records(&mut flash), snapshots(&mut flash)) else { return false };
    assert_eq!(log, model.log, "{what}");
    let is_there = |of: &SnapshotId| found.contains(&(*of, of.size));
    assert!(model.keep.iter().all(is_there), "{what}: what counts is gone without a word");
    let known = |(of, _): &(SnapshotId, u64)| {
        model.keep == Some(*of) || model.begun.iter().any(|(begun, _)| begun == of)
    };
    assert!(found.iter().all(known), "{what}: invented {found:?}, {model:?}");
    true
}

#[test]
fn an_erased_page_is_an_error_or_harmless() {
    let (mut errors, mut harmless) = (0, 0);
    for seed in 1..=12 {
        let (device, model) = grown(seed);
        for page in 1..33_usize {
            let mut damaged = device.clone();
            damaged.erase(page as u32 * 256, page as u32 * 256 + 256).expect("it is a page");
            let sound = open_damaged(damaged, &model, &format!("seed {seed} page {page}"));
            *(if sound { &mut harmless } else { &mut errors }) += 1;
        }
    }
    println!("{errors} errors, {harmless} harmless");
    assert!(errors > 20 && harmless > 20);
}

#[test]
fn a_flipped_bit_is_an_error_or_harmless() {
    let (mut errors, mut harmless) = (0, 0);
    for seed in 1..=4 {
        let (device, model) = grown(seed);
        for bit in (seed as usize..device.bits()).step_by(13 * stride(13)) {
            let mut damaged = device.clone();
            damaged.flip(bit);
            let sound = open_damaged(damaged, &model, &format!("seed {seed} bit {bit}"));
            *(if sound { &mut harmless } else { &mut errors }) += 1;
        }
    }
    println!("{errors} errors, {harmless} harmless");
    assert!(errors > 100 && harmless > 100);
}

#[test]
fn any_deeds_and_any_cuts_keep_what_was_acknowledged() {
    fn holds(seed: u64, deeds: u8, cut: u16) -> bool {
        crash::<4, 256, 1>(OPTIONS, seed, deeds.into(), cut.into());
        true
    }
    QuickCheck::new().tests(100).quickcheck(holds as fn(u64, u8, u16) -> bool);
}

#[test]
fn bytes_of_any_kind_anywhere_are_an_error_or_harmless() {
    fn holds(seed: u64, damage: Vec<(u16, Vec<u8>)>) -> TestResult {
        let (mut device, model) = grown(seed % 4);
        for (at, bytes) in damage {
            let at = usize::from(at) % (device.bits() / 8 - bytes.len());
            device.overwrite(at, &bytes);
        }
        open_damaged(device, &model, "overwritten");
        TestResult::passed()
    }
    // Over the head and the mark of an entry, with others behind it.
    let found = [&[0, 0, 0, 0, 11, 27, 23, 111][..], &[0; 33]].concat();
    assert!(!holds(251_759, vec![(53_314, found)]).is_failure());
    // Over the mark of a page that another follows, which looks as if it had been cut short.
    assert!(!holds(0, vec![(49_544, [&[0; 57][..], &[31, 11, 79, 23, 0, 0]].concat())]).is_failure());
    QuickCheck::new().tests(100).quickcheck(holds as fn(u64, Vec<(u16, Vec<u8>)>) -> TestResult);
}
