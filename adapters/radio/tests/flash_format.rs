//! The bytes in flash, as `docs/storage.md` has them, and how pages wear.

mod support;

use quorate::{ClusterId, NodeId};
use quorate_radio::{Flash, FlashOptions};
use support::model::enact;
use support::nor::Nor;
use support::scribe::{Deed, snapshot};

const OPTIONS: FlashOptions = FlashOptions {
    cluster: ClusterId::new(7),
    node: NodeId::new(3),
    from: 0,
    pages: 32,
    record_bytes: 400,
    snapshot_bytes: 300,
};

/// What was written to a page, without what was not.
fn written(device: &Nor<4, 256>, page: usize) -> String {
    let bytes = device.page(page);
    let end = bytes.iter().rposition(|byte| *byte != 0xFF).map_or(0, |at| at + 1);
    // The word at the end of a page stands for itself.
    let end = if end == 256 {
        assert_eq!(bytes[252..], [0; 4]);
        bytes[..252].iter().rposition(|byte| *byte != 0xFF).map_or(0, |at| at + 1)
    } else {
        end
    };
    bytes[..end]
        .chunks(4)
        .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + " ")
        .collect()
}

#[test]
fn pages_are_these_bytes() {
    let mut device = Nor::<4, 256>::new(32, 1);
    let of = snapshot(5, 6);
    let mut flash = Flash::open(&mut device, OPTIONS).expect("it is blank");
    enact(&mut flash, &Deed::Append(vec![0xA1, 0xA2, 0xA3, 0xA4, 0xA5])).expect("there is room");
    enact(&mut flash, &Deed::Piece { of, offset: 0, len: 4 }).expect("there is room");
    enact(&mut flash, &Deed::Piece { of, offset: 4, len: 2 }).expect("there is room");
    enact(&mut flash, &Deed::Restart { keep: Some(of), record: vec![0xB1] }).expect("there is room");
    let golden = [
        // The page that makes blank flash a store.
        "71727466 01000000 3a255240 07000000 00000000 03000000 00000000 \
         00000000 01000000 00000000 00000000 00000000 01000000 d7c1dd6d",
        // This life's: a record.
        "71727466 01000000 3a255240 07000000 00000000 03000000 00000000 \
         01000000 02000000 01000000 38000000 00000000 01000000 51381cff \
         05000001 00000000 a1a2a3a4 a5060d1b e3",
        // A snapshot that comes in: its name, two pieces.
        "71727466 01000000 3a255240 07000000 00000000 03000000 00000000 \
         01000000 03000000 00000000 00000000 03000000 03000000 141db002 \
         19000003 00000000 01010000 00000000 00050000 00000000 00060000 00000000 009afe21 \
         f1ffffff 04000004 00000000 9d9a9388 70552d51 02000004 00000000 81be9748 5ba2",
        // A restart: the snapshot to keep, a record.
        "71727466 01000000 3a255240 07000000 00000000 03000000 00000000 \
         01000000 04000000 02000000 4c000000 00000000 02000000 13040e67 \
         1a000002 00000000 01010000 00000000 00050000 00000000 00060000 00000000 00b1629b \
         2c85",
    ];
    for (page, golden) in golden.iter().enumerate() {
        assert_eq!(written(&device, page).trim_end(), *golden, "page {page}");
    }
}

#[test]
fn all_pages_wear_alike() {
    // 32 pages of 1 kB; commands of 64 bytes, of which a restart repeats the last 16, and a snapshot of 1 kB for each.
    let options = FlashOptions { pages: 32, record_bytes: 2_000, snapshot_bytes: 1_024, ..OPTIONS };
    let mut device = Nor::<4, 1024>::new(32, 1);
    let mut flash = Flash::open(&mut device, options).expect("it is blank");
    let mut records = 0;
    for cycle in 1..=700 {
        for _ in 0..16 {
            enact(&mut flash, &Deed::Append(vec![1; 80])).expect("there is room");
        }
        let of = snapshot(cycle, 1_000);
        enact(&mut flash, &Deed::Image(of)).expect("there is room");
        enact(&mut flash, &Deed::Restart { keep: Some(of), record: vec![2; 16 * 80] })
            .expect("there is room");
        records += 17;
    }
    let (least, most) =
        (device.erases.iter().min().expect("pages"), device.erases.iter().max().expect("pages"));
    let total: u32 = device.erases.iter().sum();
    let each = f64::from(total) / 32.0 * 1_000.0 / f64::from(records);
    println!(
        "{records} records: {total} erases, {least} to {most} a page; {each:.2} a page for 1,000 records"
    );
    assert!(most - least <= most / 10, "pages wear unevenly: {:?}", device.erases);
}
