//! The thread that storage is called from: all that is queued, then one sync.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate::{GroupId, Receipt, SnapshotId};

use super::queue::{StorageQueue, StorageWork, storage_queue};
use super::{Storage, StorageError};
use crate::counters::Tally;
use crate::errands::{Finished, Outcome, Subject, Task};
use crate::reason::{StartError, StopReason};
use crate::sync::Arc;
use crate::sync::thread::{Builder, JoinHandle};
use crate::writes::Writes;

/// Results that wait for a machine, at most. Beyond, storage waits too.
pub const COMPLETIONS: usize = 128;

/// What comes back from storage.
#[derive(Debug)]
pub enum Completion {
    /// Writes became durable with one sync: a receipt for each group that had some.
    Saved(Vec<Receipt>),
    /// These groups hold much of the log back, and should restate what they have.
    Restate(Vec<GroupId>),
    /// An errand was carried out.
    Finished(Finished),
    /// Storage failed, and is not called again.
    Failed(StorageError),
}

/// How what storage has done gets to the machine.
pub trait Deliver: Clone + Send + 'static {
    /// Hands a completion over, and waits while there are too many. It may be dropped when nobody is there any more.
    fn deliver(&self, completion: Completion);
}

/// The queue to a storage thread.
pub type Queue = StorageQueue<Writes, Task>;

/// Starts a thread that opens storage and restores the machine first, since reading a long log takes its time, and
/// tells `restored` how that went; then carries out what is queued. `deliver` is dropped when nothing more comes,
/// and `closed` when storage is closed, however the thread ends.
///
/// # Errors
/// There is no thread to be had.
pub fn start<M: Send + 'static>(
    name: String,
    tally: Arc<Tally>,
    deliver: impl Deliver,
    open: impl FnOnce() -> Result<Box<dyn Storage>, StorageError> + Send + 'static,
    restore: impl FnOnce(&mut dyn Storage) -> Result<M, StartError> + Send + 'static,
    restored: impl FnOnce(Result<M, StartError>) + Send + 'static,
    closed: impl Send + 'static,
) -> Result<(Queue, JoinHandle<()>), StartError> {
    let (queue, work) = storage_queue();
    let body = move || {
        // Dropped last.
        let _closed = closed;
        let begin = || {
            let mut storage = open().map_err(StartError::Storage)?;
            let machine = restore(&mut *storage)?;
            Ok((storage, machine))
        };
        match begin() {
            Ok((mut storage, machine)) => {
                // If nobody waits for the machine any more, its queue is closed, and the worker ends at once.
                restored(Ok(machine));
                Worker { storage: &mut *storage, deliver, tally: &tally, writers: Vec::new() }.run(&work);
            }
            Err(error) => restored(Err(error)),
        }
    };
    let thread = Builder::new().name(name).spawn(body).map_err(StartError::Thread)?;
    Ok((queue, thread))
}

struct Worker<'w, D> {
    storage: &'w mut dyn Storage,
    deliver: D,
    tally: &'w Tally,
    /// Snapshots that are being written beside the log.
    writers: Vec<JoinHandle<()>>,
}

impl<D: Deliver> Worker<'_, D> {
    fn run(mut self, queue: &StorageWork<Writes, Task>) {
        let mut writes = Writes::default();
        while let Some(task) = queue.take(&mut writes) {
            if let Err(error) = self.work(&mut writes, task) {
                self.deliver.deliver(Completion::Failed(error));
                break;
            }
        }
        for writer in self.writers {
            // It reported its own failure, unless it panicked; either way it has let go of its file.
            let _ = writer.join();
        }
    }

    fn work(&mut self, writes: &mut Writes, task: Option<Task>) -> Result<(), StorageError> {
        let receipts = writes.commit(self.storage, self.tally)?;
        if !receipts.is_empty() {
            self.deliver.deliver(Completion::Saved(receipts));
            let laggards = self.storage.laggards();
            if !laggards.is_empty() {
                self.deliver.deliver(Completion::Restate(laggards));
            }
        }
        let Some(Task { subject, image }) = task else { return Ok(()) };
        match subject {
            Subject::Write { group, at } => {
                self.write_snapshot(SnapshotId { group, at, size: image.len() as u64 }, subject, image)?;
            }
            Subject::Read { of, offset, len, .. } => self.read(subject, of, offset, len)?,
            Subject::Load { of } => {
                self.read(subject, of, 0, usize::try_from(of.size).unwrap_or(usize::MAX))?
            }
        }
        Ok(())
    }

    /// Errands hold one image at a time, so at most one writer is at work; one more may be about to end.
    fn write_snapshot(
        &mut self,
        of: SnapshotId,
        subject: Subject,
        image: Vec<u8>,
    ) -> Result<(), StorageError> {
        let write = self.storage.begin_snapshot(of)?;
        let deliver = self.deliver.clone();
        let body = move || {
            let written = catch_unwind(AssertUnwindSafe(|| write(&image)));
            deliver.deliver(match written {
                Ok(Ok(())) => {
                    Completion::Finished(Finished { subject, result: Outcome::Written { size: of.size } })
                }
                Ok(Err(error)) => Completion::Failed(error),
                // Untold, it would be under way for ever, and the log would never be compacted again.
                Err(panic) => {
                    let reason = StopReason::of_panic(&*panic);
                    Completion::Failed(StorageError::new(format!("writing a snapshot: {reason}")))
                }
            });
        };
        for earlier in self.writers.drain(..) {
            let _ = earlier.join();
        }
        let writer = Builder::new().name("quorate-snapshot".into()).spawn(body);
        self.writers.push(writer.map_err(StorageError::new)?);
        Ok(())
    }

    fn read(
        &mut self,
        subject: Subject,
        of: SnapshotId,
        offset: u64,
        len: usize,
    ) -> Result<(), StorageError> {
        let bytes = self.storage.read_snapshot(of, offset, len)?;
        let result = bytes.map_or(Outcome::Missing, Outcome::Bytes);
        self.deliver.deliver(Completion::Finished(Finished { subject, result }));
        Ok(())
    }
}
