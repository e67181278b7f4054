//! What a store has to hold, and deeds to do to it.

use super::nor::NorError;
use super::scribe::{Content, Deed, Scribe, snapshot};
use quorate::{Rng, SnapshotId};
use quorate_radio::{FlashError, RestoreError, Store};

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub log: Vec<Vec<u8>>,
    pub keep: Option<SnapshotId>,
    pub incoming: Option<(SnapshotId, u64)>,
    pub made: Option<SnapshotId>,
    /// All snapshots that were begun since the last restart, with all that ever was there of them: one that another
    /// replaced may come back.
    pub begun: Vec<(SnapshotId, u64)>,
}

/// The longest piece that the deeds have.
const PIECE: usize = 64;

impl Model {
    /// What is held after a deed.
    pub fn after(&self, deed: &Deed) -> Self {
        let mut next = self.clone();
        match deed {
            Deed::Append(record) => next.log.push(record.clone()),
            Deed::Restart { keep, record } => {
                next = Self { log: vec![record.clone()], keep: *keep, ..Self::default() };
            }
            Deed::Piece { of, offset, len } => {
                next.incoming = Some((*of, offset + *len as u64));
                next.begun.push((*of, offset + *len as u64));
            }
            Deed::Image(of) => {
                next.made = Some(*of);
                next.begun.push((*of, of.size));
            }
        }
        next
    }

    /// The next deed: any that a machine may ask for.
    pub fn deed(&self, rng: &mut Rng, tight: bool) -> Deed {
        let number = rng.next();
        let byte = number as u8;
        let index = 1 + self.newest() + number % 7;
        match rng.next() % 12 {
            _ if tight => self.restart(byte, number),
            0 => self.restart(byte, number),
            1 | 2 => Deed::Image(snapshot(index, number % 301)),
            3..=6 => match self.incoming {
                Some((of, have)) if have < of.size && !number.is_multiple_of(9) => {
                    Deed::Piece { of, offset: have, len: (of.size - have).min(PIECE as u64) as usize }
                }
                _ => {
                    let of = snapshot(index, 1 + number % 300);
                    Deed::Piece { of, offset: 0, len: of.size.min(PIECE as u64) as usize }
                }
            },
            _ => Deed::Append(vec![byte; (number % 120) as usize]),
        }
    }

    fn restart(&self, byte: u8, number: u64) -> Deed {
        let whole = self.incoming.filter(|(of, have)| of.size == *have).map(|(of, _)| of);
        let keep = whole.or(self.made).or(self.keep);
        Deed::Restart { keep, record: vec![byte; (number % 401) as usize] }
    }

    fn newest(&self) -> u64 {
        let named = [self.keep, self.made, self.incoming.map(|(of, _)| of)];
        named.into_iter().flatten().map(|of| of.at.index.get()).max().unwrap_or_default()
    }

    /// Whether these are the records and the snapshots that have to be there, and no others.
    pub fn admits(&self, log: &[Vec<u8>], snapshots: &[(SnapshotId, u64)]) -> bool {
        let whole = |of: &SnapshotId| snapshots.contains(&(*of, of.size));
        let came = |(of, have): &(SnapshotId, u64)| snapshots.iter().any(|(at, got)| at == of && got >= have);
        let known = |(of, have): &(SnapshotId, u64)| {
            *have == 0
                || self.keep == Some(*of) && of.size == *have
                || self.begun.iter().any(|(begun, most)| begun == of && have <= most)
        };
        self.log == log
            && self.keep.iter().all(whole)
            && self.made.iter().all(whole)
            && self.incoming.iter().all(came)
            && snapshots.iter().all(known)
    }
}

/// The snapshots of a store, each seen to be what its name says, as far as it is there; `None` if it has found damage.
pub fn snapshots<S: Store<Error = FlashError<NorError>>>(store: &mut S) -> Option<Vec<(SnapshotId, u64)>> {
    for (of, have) in store.snapshots() {
        let mut bytes = vec![0; have as usize];
        match store.read(of, 0, &mut bytes) {
            Ok(true) => assert_eq!(bytes, Content(of).bytes(0, have as usize), "{of:?} is not itself"),
            Ok(false) => panic!("{of:?} is told, and not there"),
            Err(FlashError::Corrupt { .. }) => return None,
            Err(error) => panic!("{error}"),
        }
    }
    Some(store.snapshots().to_vec())
}

/// The records of a store; `None` if it has found damage.
pub fn records<S: Store<Error = FlashError<NorError>>>(store: &mut S) -> Option<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    let replayed = store.replay(&mut [0; 512], &mut |record| {
        records.push(record.to_vec());
        Ok(())
    });
    match replayed {
        Ok(()) => Some(records),
        Err(RestoreError::Store(FlashError::Corrupt { .. })) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Does a deed.
pub fn enact(
    store: &mut impl Store<Error = FlashError<NorError>>,
    deed: &Deed,
) -> Result<(), FlashError<NorError>> {
    match deed {
        Deed::Image(of) => store.write(of.at, &Content(*of)).map(|written| assert_eq!(written, *of)),
        Deed::Append(_) | Deed::Restart { .. } | Deed::Piece { .. } => store.save::<Scribe>(&deed),
    }
}
