//! The mailbox: nothing is lost or doubled, senders wait for room and no longer, and all are heard.

use loom::thread;
use quorate_driver::sync::Arc;
use quorate_driver::sync::atomic::{AtomicBool, Ordering};
use quorate_driver::{Bell, Receiver, Sender, Unsent, mailbox, slot};
use quorate_loom_tests::{explore, explore_within};

fn pair(capacity: usize) -> (Sender<u64>, Receiver<u64>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let (sender, receiver) = mailbox(capacity, Arc::clone(&bell));
    (sender, receiver, bell)
}

/// Takes letters in until nothing will come any more.
fn take_all(receiver: &Receiver<u64>, bell: &Bell, capacity: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    // Bounded by the senders, which go.
    while !receiver.is_finished() {
        let more = receiver.take(&mut taken, usize::MAX);
        assert!(more <= capacity, "{more} letters had no room");
        if more == 0 && !receiver.is_finished() {
            bell.wait(None);
        }
    }
    taken
}

#[test]
fn a_letter_is_heard_by_a_receiver_that_goes_to_sleep() {
    explore(|| {
        let (sender, receiver, bell) = pair(1);
        let sending = thread::spawn(move || {
            sender.try_send(1).expect("there is room");
            // It stays, so that its end wakes nobody.
            sender
        });
        let mut taken = Vec::new();
        while receiver.take(&mut taken, 1) == 0 {
            bell.wait(None);
        }
        drop(sending.join());
        assert_eq!(taken, [1]);
    });
}

#[test]
fn a_sender_that_found_no_room_is_woken_when_there_is_and_heard_again() {
    explore_within(3, || {
        let (sender, receiver, bell) = pair(1);
        let sending = thread::spawn(move || {
            (1..=3).for_each(|letter| sender.send(letter).expect("the mailbox is open"));
            sender
        });
        let mut taken = Vec::new();
        while taken.len() < 3 {
            let more = receiver.take(&mut taken, 3);
            assert!(more <= 1, "there is room for one letter");
            if more == 0 {
                bell.wait(None);
            }
        }
        drop(sending.join());
        assert_eq!(taken, [1, 2, 3], "in their order");
    });
}

#[test]
fn of_two_senders_nothing_is_lost_or_doubled_and_each_keeps_its_order() {
    explore_within(2, || {
        let (sender, receiver, bell) = pair(1);
        let sending = [(sender.clone(), 10), (sender, 20)].map(|(sender, first)| {
            thread::spawn(move || {
                sender.send(first).expect("the mailbox is open");
                sender.send(first + 1).expect("the mailbox is open");
            })
        });
        let taken = take_all(&receiver, &bell, 1);
        sending.into_iter().for_each(|thread| thread.join().expect("no panic"));
        for first in [10, 20] {
            let of_one: Vec<_> = taken.iter().filter(|letter| **letter / 10 == first / 10).copied().collect();
            assert_eq!(of_one, [first, first + 1], "all taken: {taken:?}");
        }
        assert_eq!(taken.len(), 4);
    });
}

#[test]
fn room_for_two_wakes_two() {
    explore_within(3, || {
        let (sender, receiver, _) = pair(2);
        sender.send(1).expect("there is room");
        sender.send(2).expect("there is room");
        let sending = [(sender.clone(), 3), (sender, 4)]
            .map(|(sender, letter)| thread::spawn(move || sender.send(letter)));
        let mut taken = Vec::new();
        assert_eq!(receiver.take(&mut taken, 2), 2);
        // Nothing more is taken before both have found room.
        assert_eq!(sending.map(|thread| thread.join().expect("no panic")), [Ok(()), Ok(())]);
        receiver.take(&mut taken, 2);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3, 4]);
    });
}

#[test]
fn who_goes_on_no_longer_is_let_go_and_keeps_its_letter() {
    explore(|| {
        let (sender, receiver, _) = pair(1);
        sender.send(1).expect("there is room");
        let goes_on = Arc::new(AtomicBool::new(true));
        let (other, asked) = (sender.clone(), Arc::clone(&goes_on));
        let waiting = thread::spawn(move || other.send_while(2, || asked.load(Ordering::Acquire)));
        goes_on.store(false, Ordering::Release);
        sender.stir();
        assert_eq!(waiting.join().expect("no panic"), Err(2));
        let mut taken = Vec::new();
        assert_eq!((receiver.take(&mut taken, 9), taken), (1, vec![1]));
    });
}

#[test]
fn a_close_gives_all_who_wait_their_letters_back() {
    explore(|| {
        let (sender, receiver, _) = pair(1);
        sender.send(1).expect("there is room");
        let sending = [(sender.clone(), 2), (sender, 3)]
            .map(|(sender, letter)| thread::spawn(move || sender.send(letter)));
        receiver.close();
        let ends = sending.map(|thread| thread.join().expect("no panic"));
        assert_eq!(ends, [Err(2), Err(3)], "nobody made room");
        let mut taken = Vec::new();
        assert_eq!((receiver.take(&mut taken, 9), taken), (1, vec![1]));
    });
}

#[test]
fn a_letter_is_taken_or_comes_back_when_the_mailbox_closes_meanwhile() {
    explore(|| {
        let (sender, receiver, _) = pair(1);
        let sending =
            thread::spawn(move || [1, 2].map(|letter| sender.send(letter).map_or_else(|back| back, |()| 0)));
        let mut taken = Vec::new();
        receiver.take(&mut taken, 1);
        receiver.close();
        // What is left after the close, once and for all.
        receiver.take(&mut taken, usize::MAX);
        let back = sending.join().expect("no panic");
        assert_eq!(receiver.take(&mut taken, usize::MAX), 0, "closed, it takes no letter");
        let mut all: Vec<_> = taken.iter().copied().chain(back).filter(|letter| *letter > 0).collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2], "taken: {taken:?}, back: {back:?}");
    });
}

#[test]
fn who_does_not_wait_is_told_that_there_is_no_room_or_no_receiver() {
    explore(|| {
        let (sender, receiver, _) = pair(1);
        let sending = thread::spawn(move || [sender.try_send(1), sender.try_send(2)]);
        let mut taken = Vec::new();
        receiver.take(&mut taken, 1);
        receiver.close();
        assert!(receiver.take(&mut taken, usize::MAX) <= 1, "there is room for one letter");
        let [first, second] = sending.join().expect("no panic");
        match (first, second) {
            (Ok(()), Ok(())) => assert_eq!(taken, [1, 2]),
            (Ok(()), Err(Unsent::Full(2) | Unsent::Closed(2))) => assert_eq!(taken, [1]),
            (Err(Unsent::Closed(1)), Err(Unsent::Closed(2))) => assert!(taken.is_empty()),
            other => panic!("{other:?}, taken: {taken:?}"),
        }
    });
}

#[test]
fn a_receiver_that_waits_is_told_when_the_last_sender_goes() {
    explore_within(3, || {
        let (sender, receiver, bell) = pair(2);
        let other = sender.clone();
        let going = thread::spawn(move || drop(sender));
        let sending = thread::spawn(move || other.send(1));
        assert_eq!(take_all(&receiver, &bell, 2), [1]);
        going.join().expect("no panic");
        assert_eq!(sending.join().expect("no panic"), Ok(()));
    });
}

#[test]
fn who_asked_is_told_when_its_letter_is_thrown_away() {
    explore(|| {
        let (sender, receiver) = mailbox(1, Default::default());
        let (filler, waiter) = slot::<u64>();
        let stopping = thread::spawn(move || drop(receiver));
        // The letter waits in the mailbox when the receiver goes, or comes back and is dropped.
        drop(sender.send(filler));
        assert_eq!(waiter.wait(), None);
        stopping.join().expect("no panic");
    });
}
