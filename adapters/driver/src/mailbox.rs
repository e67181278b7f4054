//! A bounded mailbox: many senders, one receiver that takes in batches.

use std::collections::VecDeque;
use std::fmt;

use crate::bell::Bell;
use crate::sync::{Arc, Condvar, Mutex, lock, wait};

/// A mailbox with room for `capacity` letters, whose arrivals ring `bell`. A receiver with several mailboxes has one
/// bell for all of them.
///
/// A sender waits while the mailbox is full. Nothing is lost: what was sent is taken in, or comes back when the
/// receiver has closed the mailbox.
///
/// ```
/// use std::sync::Arc;
/// use quorate_driver::{Bell, mailbox};
///
/// let bell = Arc::new(Bell::default());
/// let (sender, receiver) = mailbox(8, bell.clone());
/// std::thread::spawn(move || (1..=3).try_for_each(|number| sender.send(number)));
/// let mut taken = Vec::new();
/// while taken.len() < 3 {
///     if receiver.take(&mut taken, 8) == 0 {
///         bell.wait(None);
///     }
/// }
/// assert_eq!(taken, [1, 2, 3]);
/// ```
#[must_use]
pub fn mailbox<T>(capacity: usize, bell: Arc<Bell>) -> (Sender<T>, Receiver<T>) {
    let letters = Letters { queue: VecDeque::new(), closed: false, senders: 1, waiting: 0 };
    let shared = Shared { letters: Mutex::new(letters), room: Condvar::default(), bell, capacity };
    let shared = Arc::new(shared);
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The end that sends. When all of them are dropped, the receiver is told.
pub struct Sender<T>(Arc<Shared<T>>);

/// The end that receives. Dropped, it closes the mailbox.
pub struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    letters: Mutex<Letters<T>>,
    room: Condvar,
    bell: Arc<Bell>,
    capacity: usize,
}

struct Letters<T> {
    queue: VecDeque<T>,
    closed: bool,
    senders: usize,
    /// Senders that wait for room.
    waiting: usize,
}

/// Why a letter was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent<T> {
    /// There is no room now.
    Full(T),
    /// The receiver takes no more.
    Closed(T),
}

impl<T> Sender<T> {
    /// Sends, and waits while there is no room.
    ///
    /// # Errors
    /// The mailbox is closed: the letter comes back.
    pub fn send(&self, letter: T) -> Result<(), T> {
        self.send_while(letter, || true)
    }

    /// Sends, and waits while there is no room and `goes_on` holds. Who makes an end of that calls [`stir`](Self::stir)
    /// afterwards.
    ///
    /// # Errors
    /// The mailbox is closed, or there was no room until the end: the letter comes back.
    pub fn send_while(&self, letter: T, goes_on: impl Fn() -> bool) -> Result<(), T> {
        let mut letters = lock(&self.0.letters);
        // Bounded by the receiver, which makes room or closes, and by who waits.
        while letters.queue.len() >= self.0.capacity && !letters.closed && goes_on() {
            letters.waiting += 1;
            letters = wait(&self.0.room, letters);
            letters.waiting -= 1;
        }
        if letters.closed || letters.queue.len() >= self.0.capacity {
            return Err(letter);
        }
        letters.queue.push_back(letter);
        drop(letters);
        self.0.bell.ring();
        Ok(())
    }

    /// Sends, if there is room at once.
    ///
    /// # Errors
    /// There is no room, or the mailbox is closed: the letter comes back.
    pub fn try_send(&self, letter: T) -> Result<(), Unsent<T>> {
        let mut letters = lock(&self.0.letters);
        if letters.closed {
            return Err(Unsent::Closed(letter));
        }
        if letters.queue.len() >= self.0.capacity {
            return Err(Unsent::Full(letter));
        }
        letters.queue.push_back(letter);
        drop(letters);
        self.0.bell.ring();
        Ok(())
    }

    /// Lets all who wait for room look again whether they go on.
    pub fn stir(&self) {
        // Whoever looked before this is asleep once the lock is free.
        drop(lock(&self.0.letters));
        self.0.room.notify_all();
    }
}

impl<T> Receiver<T> {
    /// Takes in up to `limit` letters, in their order, and says how many.
    pub fn take(&self, into: &mut Vec<T>, limit: usize) -> usize {
        let mut letters = lock(&self.0.letters);
        let count = letters.queue.len().min(limit);
        into.extend(letters.queue.drain(..count));
        let waiting = letters.waiting;
        drop(letters);
        if count > 0 && waiting > 0 {
            // Who finds no room waits again.
            self.0.room.notify_all();
        }
        count
    }

    /// Whether all senders are gone and all letters taken: nothing will come any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let letters = lock(&self.0.letters);
        letters.senders == 0 && letters.queue.is_empty()
    }

    /// Takes no more letters. Those that are there can still be taken.
    pub fn close(&self) {
        lock(&self.0.letters).closed = true;
        self.0.room.notify_all();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0.letters).senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut letters = lock(&self.0.letters);
        letters.senders -= 1;
        let last = letters.senders == 0;
        drop(letters);
        if last {
            self.0.bell.ring();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        // Letters may hold what their senders wait for.
        let left = std::mem::take(&mut lock(&self.0.letters).queue);
        drop(left);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({} of {})", lock(&self.0.letters).queue.len(), self.0.capacity)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({} of {})", lock(&self.0.letters).queue.len(), self.0.capacity)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn pair(capacity: usize) -> (Sender<u64>, Receiver<u64>) {
        mailbox(capacity, Arc::new(Bell::default()))
    }

    #[test]
    fn a_full_mailbox_gives_back_and_a_closed_one_too() {
        let (sender, receiver) = pair(2);
        assert_eq!((sender.try_send(1), sender.try_send(2)), (Ok(()), Ok(())));
        assert_eq!(sender.try_send(3), Err(Unsent::Full(3)));
        let mut taken = Vec::new();
        assert_eq!(receiver.take(&mut taken, 1), 1);
        assert_eq!(sender.try_send(4), Ok(()));
        receiver.close();
        assert_eq!((sender.try_send(5), sender.send(6)), (Err(Unsent::Closed(5)), Err(6)));
        assert_eq!((receiver.take(&mut taken, 9), taken), (2, vec![1, 2, 4]), "what was sent can be taken");
    }

    #[test]
    fn a_sender_waits_for_room_and_is_given_its_letter_back_when_the_mailbox_closes() {
        let (sender, receiver) = pair(1);
        sender.send(1).expect("there is room");
        let waiting = std::thread::spawn(move || (sender.send(2), sender.send(3)));
        let mut taken = Vec::new();
        while taken.len() < 2 {
            receiver.take(&mut taken, 1);
            std::thread::sleep(Duration::from_millis(1));
            if taken.len() == 1 {
                assert!(lock(&receiver.0.letters).queue.len() <= 1, "there was no room");
            }
        }
        drop(receiver);
        let (second, third) = waiting.join().expect("no panic");
        assert_eq!(second, Ok(()));
        assert!(matches!(third, Ok(()) | Err(3)));
    }

    #[test]
    fn who_waits_for_room_is_woken_by_room_and_by_the_end() {
        let (sender, receiver) = pair(1);
        let sender = &sender;
        sender.send(0).expect("there is room");
        std::thread::scope(|scope| {
            let (done, ended) = std::sync::mpsc::channel();
            let until_they_wait = |count| {
                while lock(&receiver.0.letters).waiting < count {
                    std::thread::yield_now();
                }
            };
            for letter in [1, 2] {
                let done = done.clone();
                scope.spawn(move || done.send(sender.send(letter)));
            }
            until_they_wait(2);
            receiver.take(&mut Vec::new(), 1);
            assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(Ok(())), "there was room for one");
            until_they_wait(1);
            receiver.close();
            let given_back = ended.recv_timeout(Duration::from_secs(60));
            assert!(matches!(given_back, Ok(Err(1 | 2))), "{given_back:?}");
        });
    }

    #[test]
    fn who_waits_for_room_is_let_go_when_it_goes_on_no_longer() {
        let (sender, receiver) = pair(1);
        sender.send(1).expect("there is room");
        let goes_on = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| sender.send_while(2, || goes_on.load(std::sync::atomic::Ordering::Acquire)));
            while lock(&receiver.0.letters).waiting == 0 {
                std::thread::yield_now();
            }
            goes_on.store(false, std::sync::atomic::Ordering::Release);
            sender.stir();
            assert_eq!(waiting.join().expect("no panic"), Err(2));
        });
        assert_eq!(receiver.take(&mut Vec::new(), 9), 1);
    }

    #[test]
    fn the_last_sender_that_goes_is_noticed() {
        let (bell, start) = (Arc::new(Bell::default()), std::time::Instant::now());
        let (sender, receiver) = mailbox(4, Arc::clone(&bell));
        let other = sender.clone();
        drop(sender);
        assert!(!receiver.is_finished());
        let ending = std::thread::spawn(move || {
            other.send(1).expect("it is open");
            // The receiver sleeps by then.
            std::thread::sleep(Duration::from_millis(50));
        });
        let mut taken = Vec::new();
        while !receiver.is_finished() {
            bell.wait(Some(start + Duration::from_secs(60)));
            receiver.take(&mut taken, 4);
        }
        assert!(start.elapsed().as_secs() < 50, "nobody rang");
        ending.join().expect("no panic");
        assert_eq!(taken, [1]);
    }
}
