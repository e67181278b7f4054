//! The way to the storage thread: writes gather while one sync runs, and share the next.

use std::collections::VecDeque;

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, wait};

/// What can be written together with what came before it.
pub trait Batch: Default {
    /// Moves what `later` holds behind what this holds.
    fn take_from(&mut self, later: &mut Self);

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool;

    /// How much there is to write.
    fn bytes(&self) -> usize;
}

/// A queue from a machine to the thread of its storage, for batches of writes `B` and tasks `T`.
#[must_use]
pub fn storage_queue<B: Batch, T>() -> (StorageQueue<B, T>, StorageWork<B, T>) {
    let queue = Queue { writes: B::default(), tasks: VecDeque::new(), closing: None, is_awaited: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::default() });
    (StorageQueue(Arc::clone(&shared)), StorageWork(shared))
}

/// The end of the machine. Dropped, it closes storage without what is still queued.
pub struct StorageQueue<B: Batch, T>(Arc<Shared<B, T>>);

/// The end of the thread.
pub struct StorageWork<B: Batch, T>(Arc<Shared<B, T>>);

struct Shared<B, T> {
    queue: Mutex<Queue<B, T>>,
    changed: Condvar,
}

/// Bounded by who hands over: it looks at [`StorageQueue::queued_bytes`], and at its tasks under way.
struct Queue<B, T> {
    writes: B,
    tasks: VecDeque<T>,
    closing: Option<Closing>,
    /// Whether the thread is asleep: waking it costs a system call.
    is_awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// After all that is queued.
    Finished,
    /// At once, as in a crash.
    AtOnce,
}

impl<B: Batch, T> StorageQueue<B, T> {
    /// Hands writes and tasks over; both are empty afterwards.
    pub fn hand_over(&self, writes: &mut B, tasks: &mut Vec<T>) {
        if writes.is_empty() && tasks.is_empty() {
            return;
        }
        let mut queue = lock(&self.0.queue);
        queue.writes.take_from(writes);
        queue.tasks.extend(tasks.drain(..));
        self.0.wake(queue);
    }

    /// Bytes that wait for the thread.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        lock(&self.0.queue).writes.bytes()
    }

    /// Closes storage after what is queued.
    pub fn close(self) {
        self.close_when(Closing::Finished);
    }

    fn close_when(&self, closing: Closing) {
        let mut queue = lock(&self.0.queue);
        queue.closing.get_or_insert(closing);
        self.0.wake(queue);
    }
}

impl<B: Batch, T> Drop for StorageQueue<B, T> {
    fn drop(&mut self) {
        self.close_when(Closing::AtOnce);
    }
}

impl<B, T> Shared<B, T> {
    fn wake(&self, mut queue: MutexGuard<'_, Queue<B, T>>) {
        let is_awaited = std::mem::take(&mut queue.is_awaited);
        drop(queue);
        if is_awaited {
            self.changed.notify_one();
        }
    }
}

impl<B: Batch, T> StorageWork<B, T> {
    /// Waits for work, and takes all writes and one task. `None` when storage is to be closed.
    pub fn take(&self, writes: &mut B) -> Option<Option<T>> {
        let mut queue = lock(&self.0.queue);
        // Bounded by the machine, which hands work over or goes.
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
                    queue.is_awaited = true;
                    queue = wait(&self.0.changed, queue);
                }
            }
        }
    }
}

impl<B: Batch, T> std::fmt::Debug for StorageQueue<B, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StorageQueue({} bytes)", self.queued_bytes())
    }
}

impl<B: Batch, T> std::fmt::Debug for StorageWork<B, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StorageWork")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    impl Batch for Vec<u8> {
        fn take_from(&mut self, later: &mut Self) {
            self.append(later);
        }

        fn is_empty(&self) -> bool {
            Vec::is_empty(self)
        }

        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn writes_that_wait_are_taken_together_and_tasks_one_by_one() {
        let (queue, work) = storage_queue();
        queue.hand_over(&mut vec![1], &mut vec!["first"]);
        queue.hand_over(&mut vec![2, 3], &mut vec!["second"]);
        assert_eq!(queue.queued_bytes(), 3);
        let mut writes = Vec::new();
        assert_eq!((work.take(&mut writes), &writes[..]), (Some(Some("first")), &[1, 2, 3][..]));
        queue.close();
        assert_eq!((work.take(&mut writes), writes.len()), (Some(Some("second")), 3), "after what is queued");
        assert_eq!(work.take(&mut writes), None);
    }

    #[test]
    fn a_queue_that_is_dropped_leaves_what_is_queued() {
        let (queue, work) = storage_queue();
        queue.hand_over(&mut vec![1], &mut vec!["task"]);
        drop(queue);
        let mut writes = Vec::new();
        assert_eq!((work.take(&mut writes), writes.len()), (None, 0));
    }
}
