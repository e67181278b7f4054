//! What becomes of files.

use crate::Tape;
use quorate_disk::memory::MemoryDisk;

/// A kind of damage, by what may follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Bits, cuts, files that are gone or in the place of others.
    Harmed,
    /// A file is as it once was.
    Stale,
}

/// Damages a file, if there is something to damage.
pub fn inflict(disk: &MemoryDisk, once: &MemoryDisk, tape: &mut Tape<'_>) -> Option<Damage> {
    let names = disk.file_names();
    let counted: Vec<&String> =
        names.iter().filter(|name| !name.ends_with(".spare") && *name != "reserve").collect();
    let name = counted.get(usize::from(tape.byte()) % counted.len().max(1))?;
    let before = disk.read(name);
    let at = usize::from(tape.byte()) << 8 | usize::from(tape.byte());
    let at = at % before.len().max(1);
    match tape.below(8) {
        0..=2 => {
            let bit = tape.below(8);
            disk.tamper(name, |bytes| bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit));
        }
        3 => disk.tamper(name, |bytes| bytes.truncate(at)),
        4 => {
            let (from, count) = (at / 512 * 512, 512 * (1 + tape.below(4)));
            disk.tamper(name, |bytes| bytes.iter_mut().skip(from).take(count).for_each(|byte| *byte = 0));
        }
        5 => {
            let noise = tape.slice();
            disk.tamper(name, |bytes| {
                bytes.iter_mut().skip(at).zip(noise).for_each(|(byte, noise)| *byte = *noise)
            });
        }
        6 => {
            let other = counted.get(usize::from(tape.byte()) % counted.len())?;
            let theirs = disk.read(other);
            disk.tamper(name, |bytes| *bytes = theirs);
            disk.tamper(other, |bytes| *bytes = before.clone());
        }
        _ => {
            let old = once.file_names().contains(*name).then(|| once.read(name))?;
            disk.tamper(name, |bytes| *bytes = old);
            return Some(Damage::Stale);
        }
    }
    (disk.read(name) != before).then_some(Damage::Harmed)
}
