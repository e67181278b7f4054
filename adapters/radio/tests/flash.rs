//! What a store in flash keeps: clauses 9 to 14 of `docs/driver.md`.

mod support;

use quorate::{ClusterId, NodeId, SnapshotId};
use quorate_radio::{Flash, FlashError, FlashOptions, Store};
use support::model::{enact, records};
use support::nor::{Nor, NorError};
use support::scribe::{Content, Deed, snapshot};

type Device = Nor<4, 256>;

const OPTIONS: FlashOptions = FlashOptions {
    cluster: ClusterId::new(7),
    node: NodeId::new(3),
    from: 0,
    pages: 40,
    record_bytes: 400,
    snapshot_bytes: 300,
};

fn device() -> Device {
    Device::new(40, 1)
}

fn open(device: &mut Device) -> Flash<&mut Device> {
    Flash::open(device, OPTIONS).expect("it opens")
}

fn append(byte: u8, len: usize) -> Deed {
    Deed::Append(vec![byte; len])
}

fn restart(byte: u8, len: usize, keep: Option<SnapshotId>) -> Deed {
    Deed::Restart { keep, record: vec![byte; len] }
}

#[test]
fn what_was_saved_is_read_back_in_order_by_each_life() {
    let mut device = device();
    let mut expected = Vec::new();
    for life in 1..=4_u8 {
        let mut flash = open(&mut device);
        assert_eq!(flash.epoch(), u32::from(life));
        assert_eq!(records(&mut flash).expect("it is sound"), expected);
        for len in [0, 1, 7, 120, 250] {
            enact(&mut flash, &append(life, len)).expect("there is room");
            expected.push(vec![life; len]);
        }
        assert_eq!(records(&mut flash).expect("it is sound"), expected);
    }
}

#[test]
fn a_restart_replaces_all_before_it() {
    let mut device = device();
    let mut flash = open(&mut device);
    for round in 0..50_u8 {
        for _ in 0..3 {
            enact(&mut flash, &append(round, 100)).expect("there is room");
        }
        enact(&mut flash, &restart(round, 390, None)).expect("there is room");
        assert_eq!(records(&mut flash).expect("it is sound"), [vec![round; 390]]);
    }
    assert_eq!(records(&mut open(&mut device)).expect("it is sound"), [vec![49; 390]]);
}

#[test]
fn a_snapshot_that_comes_in_goes_on_where_its_durable_part_ends() {
    let (mut device, of) = (device(), snapshot(9, 200));
    for offset in [0, 64, 128] {
        let mut flash = open(&mut device);
        let have = if offset == 0 { vec![] } else { vec![(of, offset)] };
        assert_eq!(flash.snapshots()[..], have[..]);
        // A hole is refused, what is there already may come again.
        let hole = Deed::Piece { of, offset: offset + 1, len: 10 };
        assert_eq!(enact(&mut flash, &hole), Err(FlashError::OutOfOrder { next: offset as u32 }));
        enact(&mut flash, &Deed::Piece { of, offset: offset / 2, len: (offset - offset / 2) as usize + 64 })
            .expect("there is room");
    }
    let mut flash = open(&mut device);
    enact(&mut flash, &Deed::Piece { of, offset: 192, len: 8 }).expect("there is room");
    enact(&mut flash, &restart(1, 10, Some(of))).expect("it is whole");
    let mut bytes = [0; 200];
    let mut flash = open(&mut device);
    assert_eq!(flash.snapshots(), [(of, 200)]);
    assert_eq!(flash.read(of, 0, &mut bytes), Ok(true));
    assert_eq!(bytes[..], Content(of).bytes(0, 200));
    assert_eq!(flash.read(of, 70, &mut bytes[..100]), Ok(true));
    assert_eq!(bytes[..100], Content(of).bytes(70, 100));
    assert_eq!(flash.read(of, 101, &mut bytes[..100]), Ok(false), "beyond its end");
    assert_eq!(flash.read(snapshot(8, 200), 0, &mut bytes), Ok(false));
}

/// Takes in the longest snapshot in pieces of 64 bytes, with one more life on the way.
fn the_longest_snapshot_comes_in<const WORD: usize, const PAGE: usize>() {
    let options = FlashOptions { snapshot_bytes: 20_000, ..OPTIONS };
    let pages = options.pages_needed::<Nor<WORD, PAGE>>();
    let options = FlashOptions { pages, ..options };
    let (mut device, of) = (Nor::<WORD, PAGE>::new(pages as usize, 1), snapshot(9, 20_000));
    for part in [0..10_000, 10_000..20_000] {
        let mut flash = Flash::open(&mut device, options).expect("it opens");
        for offset in part.clone().step_by(64) {
            let len = (part.end - offset).min(64) as usize;
            let taken = enact(&mut flash, &Deed::Piece { of, offset, len });
            assert_eq!(taken, Ok(()), "words of {WORD}, pages of {PAGE}: at {offset}");
        }
        assert_eq!(flash.snapshots(), [(of, part.end)]);
    }
}

#[test]
fn the_longest_snapshot_comes_in_whatever_the_words_of_the_flash() {
    the_longest_snapshot_comes_in::<4, 256>();
    the_longest_snapshot_comes_in::<8, 512>();
    the_longest_snapshot_comes_in::<16, 1024>();
    the_longest_snapshot_comes_in::<32, 1024>();
}

#[test]
fn a_snapshot_that_many_lives_left_no_room_for_begins_anew() {
    let (mut device, of) = (device(), snapshot(9, 300));
    let mut refused = 0;
    // A piece in each life at first, of which each takes a page, and then as many as there are.
    for life in 0..12 {
        let mut flash = open(&mut device);
        for _ in 0..if life < 6 { 1 } else { 300 } {
            let have = flash.snapshots().first().map_or(0, |(_, have)| *have);
            // Late ones are longer than a page.
            let len = if have < 60 { 15 } else { 192 }.min(300 - have) as usize;
            match enact(&mut flash, &Deed::Piece { of, offset: have, len }) {
                Ok(()) if have + len as u64 == 300 => return,
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, FlashError::Full);
                    refused += 1;
                    break;
                }
            }
        }
    }
    panic!("refused {refused} times");
}

#[test]
fn a_restart_keeps_its_snapshot_and_lets_go_of_the_others() {
    let mut device = device();
    let mut flash = open(&mut device);
    let (first, second, coming) = (snapshot(5, 300), snapshot(9, 280), snapshot(12, 300));
    assert_eq!(enact(&mut flash, &restart(1, 10, Some(first))), Err(FlashError::NoSnapshot));
    enact(&mut flash, &Deed::Image(first)).expect("there is room");
    enact(&mut flash, &restart(1, 10, Some(first))).expect("it is whole");
    enact(&mut flash, &Deed::Piece { of: coming, offset: 0, len: 64 }).expect("there is room");
    enact(&mut flash, &Deed::Image(second)).expect("there is room");
    assert_eq!(flash.snapshots(), [(first, 300), (coming, 64), (second, 280)]);
    enact(&mut flash, &restart(2, 10, Some(second))).expect("it is whole");
    assert_eq!(flash.snapshots(), [(second, 280)]);
    assert_eq!(enact(&mut flash, &restart(3, 10, Some(coming))), Err(FlashError::NoSnapshot));
    assert_eq!(open(&mut device).snapshots(), [(second, 280)]);
}

#[test]
fn a_full_flash_refuses_and_loses_nothing_and_a_restart_makes_room() {
    let mut device = device();
    let mut flash = open(&mut device);
    let mut expected = Vec::new();
    let mut tight_at = None;
    let refused = loop {
        match enact(&mut flash, &append(expected.len() as u8, 90)) {
            Ok(()) => expected.push(vec![expected.len() as u8; 90]),
            Err(error) => break error,
        }
        assert!(expected.len() < 1000, "it never fills up");
        tight_at = tight_at.or_else(|| flash.is_tight().then_some(expected.len()));
    };
    assert_eq!(refused, FlashError::Full);
    assert!(tight_at.is_some_and(|at| at + 4 <= expected.len()), "it is tight well before it is full");
    assert_eq!(records(&mut flash).expect("it is sound"), expected);
    assert_eq!(records(&mut open(&mut device)).expect("it is sound"), expected);
    let mut flash = open(&mut device);
    enact(&mut flash, &restart(1, 400, None)).expect("a restart has room of its own");
    assert!(!flash.is_tight());
    for _ in 0..4 {
        enact(&mut flash, &append(1, 90)).expect("there is room again");
    }
    let long = append(1, 401);
    assert_eq!(enact(&mut flash, &long), Err(FlashError::TooLong { limit: 400 }));
}

#[test]
fn boards_that_only_boot_do_not_fill_the_flash_and_wear_all_its_pages() {
    let mut device = device();
    enact(&mut open(&mut device), &append(1, 90)).expect("there is room");
    for epoch in 2..600 {
        assert_eq!(open(&mut device).epoch(), epoch);
    }
    assert_eq!(records(&mut open(&mut device)).expect("it is sound"), [vec![1; 90]]);
    let worn = device.erases.iter().filter(|erases| **erases > 20).count();
    assert!(worn >= 36, "boots wear {worn} pages only: {:?}", device.erases);
}

#[test]
fn a_flash_of_another_node_another_format_or_something_else_is_told_apart() {
    let mut device = device();
    enact(&mut open(&mut device), &append(1, 90)).expect("there is room");
    let other = FlashOptions { node: NodeId::new(4), ..OPTIONS };
    let foreign = FlashError::Foreign;
    assert_eq!(Flash::open(&mut device, other).map(|_| ()), Err(foreign));
    let other = FlashOptions { cluster: ClusterId::new(8), ..OPTIONS };
    assert_eq!(Flash::open(&mut device, other).map(|_| ()), Err(foreign));

    // A page of a later format: its first 12 bytes are as ever.
    let mut later = Device::new(40, 1);
    let head = [b'q', b'r', b't', b'f', 2, 0, 0, 0, 0xD4, 0x8A, 0xE7, 0x52];
    later.overwrite(0, &head);
    assert_eq!(Flash::open(&mut later, OPTIONS).map(|_| ()), Err(FlashError::Version(2)));

    let mut used = Device::new(40, 1);
    used.overwrite(256 * 3 + 17, b"an old program");
    assert_eq!(Flash::open(&mut used, OPTIONS).map(|_| ()), Err(FlashError::NotEmpty { page: 3 }));
    Flash::erase(&mut used, OPTIONS).expect("it can be erased");
    assert_eq!(open(&mut used).epoch(), 1);
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let mut device = device();
    let needed = OPTIONS.pages_needed::<Device>();
    let small = FlashOptions { pages: needed - 1, ..OPTIONS };
    assert_eq!(Flash::open(&mut device, small).map(|_| ()), Err(FlashError::TooSmall { pages: needed }));
    let beyond = FlashOptions { pages: 41, ..OPTIONS };
    assert!(matches!(Flash::open(&mut device, beyond), Err(FlashError::Options(_))));
    let within = FlashOptions { from: 100, ..OPTIONS };
    assert!(matches!(Flash::open(&mut device, within), Err(FlashError::Options(_))));
}

#[test]
fn after_a_failed_write_nothing_is_written_until_it_is_opened_anew() {
    let mut device = device();
    let mut flash = open(&mut device);
    enact(&mut flash, &append(1, 90)).expect("there is room");
    device.cut_at = Some(device.operations + 200);
    let mut flash = open(&mut device);
    let failed = (0..100).find_map(|_| enact(&mut flash, &append(2, 20)).err());
    assert_eq!(failed, Some(FlashError::Device(NorError::Off)));
    assert_eq!(enact(&mut flash, &append(3, 20)), Err(FlashError::Poisoned));
    assert_eq!(enact(&mut flash, &Deed::Image(snapshot(4, 40))), Err(FlashError::Poisoned));
}

#[test]
fn a_page_that_does_not_keep_what_is_written_is_told() {
    let mut device = device();
    device.worn = Some(2 * 256 + 100);
    let mut flash = open(&mut device);
    let worn = (0..20).find_map(|_| enact(&mut flash, &append(2, 50)).err());
    assert_eq!(worn, Some(FlashError::Worn { page: 2 }));
    assert_eq!(enact(&mut flash, &append(3, 20)), Err(FlashError::Poisoned));
}
