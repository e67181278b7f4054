//! The thread that storage is called from: all that is queued, then one sync.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use quorate::{Receipt, SnapshotId};
use tokio::sync::{mpsc, oneshot};

use super::{Storage, StorageError};
use crate::counters::Tally;
use crate::errands::{Finished, Outcome, Subject, Task};
use crate::stop::StartError;
use crate::writes::Writes;

/// Results that wait for the machine. Beyond, storage waits too.
const COMPLETIONS: usize = 128;

/// What comes back from storage.
#[derive(Debug)]
pub(crate) enum Completion {
    Saved(Receipt),
    Finished(Finished),
    /// Storage failed, and is not called again.
    Failed(StorageError),
}

/// A storage thread that is running.
pub(crate) struct Started<M> {
    pub(crate) machine: M,
    pub(crate) queue: StorageQueue,
    pub(crate) completions: mpsc::Receiver<Completion>,
    /// Ends when storage is closed.
    pub(crate) closed: oneshot::Receiver<()>,
}

/// Starts the thread, which opens storage and restores the machine first: reading a long log must not block the
/// runtime.
pub(crate) async fn start<M: Send + 'static>(
    name: String,
    tally: Arc<Tally>,
    open: impl FnOnce() -> Result<Box<dyn Storage>, StorageError> + Send + 'static,
    restore: impl FnOnce(&mut dyn Storage) -> Result<M, StartError> + Send + 'static,
) -> Result<Started<M>, StartError> {
    let queue = StorageQueue(Arc::default());
    let (completed, completions) = mpsc::channel(COMPLETIONS);
    let (restored, machine) = oneshot::channel();
    let (closing, closed) = oneshot::channel();
    let shared = Arc::clone(&queue.0);
    let begin = move || {
        let mut storage = open().map_err(StartError::Storage)?;
        let machine = restore(&mut *storage)?;
        Ok((storage, machine))
    };
    let body = move || {
        match begin() {
            Ok((mut storage, machine)) => {
                // If nobody waits for the machine any more, its queue is closed, and the worker ends at once.
                let _ = restored.send(Ok(machine));
                Worker { storage: &mut *storage, completed, tally: &tally, writers: Vec::new() }.run(&shared);
            }
            Err(error) => {
                let _ = restored.send(Err(error));
            }
        }
        let _ = closing.send(());
    };
    std::thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)?;
    let machine = machine.await.map_err(|_| StartError::Restoring)??;
    Ok(Started { machine, queue, completions, closed })
}

/// The way to the storage thread. Dropped, it closes storage without what is still queued.
#[derive(Debug)]
pub(crate) struct StorageQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    writes: Writes,
    tasks: VecDeque<Task>,
    closing: Option<Closing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// After all that is queued.
    Finished,
    /// At once, as in a crash.
    AtOnce,
}

impl StorageQueue {
    /// Hands writes and errands over; both are empty afterwards.
    pub(crate) fn hand_over(&self, writes: &mut Writes, tasks: &mut Vec<Task>) {
        if writes.is_empty() && tasks.is_empty() {
            return;
        }
        let mut queue = self.0.lock();
        queue.writes.take_from(writes);
        queue.tasks.extend(tasks.drain(..));
        drop(queue);
        self.0.changed.notify_one();
    }

    /// Bytes that wait for the thread.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.0.lock().writes.bytes()
    }

    /// Closes storage after what is queued.
    pub(crate) fn close(self) {
        self.close_when(Closing::Finished);
    }

    fn close_when(&self, closing: Closing) {
        self.0.lock().closing.get_or_insert(closing);
        self.0.changed.notify_one();
    }
}

impl Drop for StorageQueue {
    fn drop(&mut self) {
        self.close_when(Closing::AtOnce);
    }
}

impl Shared {
    /// A panic while the lock was held is a panic of the machine's task, after which nothing more is queued.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work, and takes all writes and one errand. `None` when storage is to be closed.
    fn take_work(&self, writes: &mut Writes) -> Option<Option<Task>> {
        let mut queue = self.lock();
        loop {
            let has_work = !queue.writes.is_empty() || !queue.tasks.is_empty();
            match queue.closing {
                Some(Closing::AtOnce) => return None,
                Some(Closing::Finished) if !has_work => return None,
                Some(Closing::Finished) | None if has_work => {
                    writes.take_from(&mut queue.writes);
                    return Some(queue.tasks.pop_front());
                }
                Some(Closing::Finished) | None => {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

struct Worker<'w> {
    storage: &'w mut dyn Storage,
    completed: mpsc::Sender<Completion>,
    tally: &'w Tally,
    /// Snapshots that are being written beside the log.
    writers: Vec<JoinHandle<()>>,
}

impl Worker<'_> {
    fn run(mut self, shared: &Shared) {
        let mut writes = Writes::default();
        while let Some(task) = shared.take_work(&mut writes) {
            if let Err(error) = self.work(&mut writes, task) {
                self.report(Completion::Failed(error));
                break;
            }
        }
        for writer in self.writers {
            // It reported its own failure, unless it panicked; either way it has let go of its file.
            let _ = writer.join();
        }
    }

    fn work(&mut self, writes: &mut Writes, task: Option<Task>) -> Result<(), StorageError> {
        if let Some(receipt) = writes.commit(self.storage, self.tally)? {
            self.report(Completion::Saved(receipt));
        }
        let Some(Task { subject, image }) = task else { return Ok(()) };
        match subject {
            Subject::Write { at } => {
                self.write_snapshot(SnapshotId { at, size: image.len() as u64 }, subject, image)?;
            }
            Subject::Read { of, offset, len, .. } => self.read(subject, of, offset, len)?,
            Subject::Load { of } => {
                self.read(subject, of, 0, usize::try_from(of.size).unwrap_or(usize::MAX))?
            }
        }
        Ok(())
    }

    fn write_snapshot(
        &mut self,
        of: SnapshotId,
        subject: Subject,
        image: Vec<u8>,
    ) -> Result<(), StorageError> {
        let write = self.storage.begin_snapshot(of)?;
        let completed = self.completed.clone();
        let body = move || {
            let written = write(&image).map(|()| Outcome::Written { size: of.size });
            let completion = match written {
                Ok(result) => Completion::Finished(Finished { subject, result }),
                Err(error) => Completion::Failed(error),
            };
            let _ = completed.blocking_send(completion);
        };
        self.writers.retain(|writer| !writer.is_finished());
        let writer = std::thread::Builder::new().name("quorate-snapshot".into()).spawn(body);
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
        self.report(Completion::Finished(Finished { subject, result }));
        Ok(())
    }

    /// The receiver is gone when the node is stopping, and then nobody has to know.
    fn report(&self, completion: Completion) {
        let _ = self.completed.blocking_send(completion);
    }
}
