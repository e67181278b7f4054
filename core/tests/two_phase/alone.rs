//! A participant by itself, and a disk that is slow.

use quorate::space::Fixed;
use quorate::two_phase::participant::{Event, Participant, Reason, Request};
use quorate::two_phase::{Config, Message, Parties, Promise, Vote};
use quorate::{Age, Batch, Input, Instant, Machine, NodeId, Output, Pending, TxId};

const NODES: [NodeId; 2] = [NodeId::new(1), NodeId::new(2)];

struct Alone(Participant<u32, Fixed<2, 4>>);

/// What it wanted done: claims on what it saved, what it said yes to or that it did, and what it asked the application for.
#[derive(Debug, Default)]
struct Done {
    claims: Vec<Pending>,
    yes: Vec<TxId>,
    done: Vec<TxId>,
    asked: Vec<TxId>,
}

const fn tx(number: u64) -> TxId {
    TxId { coordinator: NODES[0], number }
}

impl Alone {
    fn new() -> Self {
        let config = Config::new(NODES[1], &NODES);
        let mut alone = Self(Participant::new(config, 7, Instant::default()).expect("sound settings"));
        alone.drain();
        alone
    }

    fn hear(&mut self, message: Message<'_, u32>) -> Done {
        self.0.handle(Instant::default(), Input::Message { from: NODES[0], message });
        self.drain()
    }

    fn prepare(&mut self, number: u64, only: bool) -> Done {
        let (parties, work) = (Parties::of(&NODES), [9]);
        let (age, work) = (Age::new(1), Batch::of(&work));
        self.hear(Message::Prepare { tx: tx(number), floor: 4, only, age, parties, work })
    }

    fn say(&mut self, request: Request) -> Result<Done, Reason> {
        self.0.request(Instant::default(), request).map_err(|refusal| refusal.reason)?;
        Ok(self.drain())
    }

    /// It is asked whether it can, and can.
    fn promise(&mut self, number: u64) -> Done {
        self.prepare(number, false);
        self.say(Request::Promise(tx(number))).expect("it was asked")
    }

    fn saved(&mut self, claims: Vec<Pending>) -> Done {
        let claim = claims.into_iter().reduce(Pending::merge).expect("something was saved");
        self.0.handle(Instant::default(), Input::Saved(claim.assert_durable()));
        self.drain()
    }

    fn drain(&mut self) -> Done {
        let mut done = Done::default();
        while let Some(output) = self.0.poll() {
            match output {
                Output::Save(write) => done.claims.push(write.split().1),
                Output::Send { message: Message::Vote { tx, vote: Vote::Yes(_), .. }, .. } => {
                    done.yes.push(tx)
                }
                Output::Send { message: Message::Done { tx, .. }, .. } => done.done.push(tx),
                Output::Event(Event::Prepare { tx, .. }) => done.asked.push(tx),
                Output::Send { .. } | Output::Event(_) => {}
            }
        }
        done
    }
}

#[test]
fn what_comes_in_the_place_of_another_waits_for_its_own_write() {
    let mut alone = Alone::new();
    let first = alone.promise(4);
    alone.hear(Message::Decision { tx: tx(4), commit: false, of: Promise::default() });
    // Saving this notes that the first is over, and frees its place, in which the third comes.
    let second = alone.promise(5);
    let third = alone.promise(8);
    assert_eq!((first.claims.len(), second.claims.len(), third.claims.len()), (1, 2, 1));
    assert_eq!(alone.saved(first.claims).yes, []);
    assert_eq!(alone.saved(second.claims).yes, [tx(5)]);
    assert_eq!(alone.saved(third.claims).yes, [tx(8)]);
}

#[test]
fn what_comes_in_a_place_that_is_still_in_line_waits_for_its_own_write() {
    let mut alone = Alone::new();
    let (ahead, first) = (alone.promise(6), alone.promise(4));
    alone.hear(Message::Decision { tx: tx(4), commit: false, of: Promise::default() });
    let (second, third) = (alone.promise(5), alone.promise(8));
    assert_eq!(alone.saved(ahead.claims).yes, [tx(6)]);
    assert_eq!(alone.saved(first.claims).yes, []);
    assert_eq!(alone.saved(second.claims).yes, [tx(5)]);
    assert_eq!(alone.saved(third.claims).yes, [tx(8)]);
}

#[test]
fn what_comes_in_the_place_of_another_waits_for_nothing_that_is_written_after_it() {
    let mut alone = Alone::new();
    let mut early =
        [7, 4].map(|number| alone.promise(number).claims).into_iter().flatten().collect::<Vec<_>>();
    alone.hear(Message::Decision { tx: tx(4), commit: false, of: Promise::default() });
    early.extend([5, 8].into_iter().flat_map(|number| alone.promise(number).claims));
    let late = alone.promise(6).claims;
    assert_eq!(alone.saved(early).yes, [7, 8, 5].map(tx));
    assert_eq!(alone.saved(late).yes, [tx(6)]);
}

#[test]
fn who_is_told_again_of_what_was_done_is_answered_before_anything_is_asked_again() {
    let mut alone = Alone::new();
    let promised = alone.promise(4);
    alone.saved(promised.claims);
    let message = Message::Decision { tx: tx(3), commit: true, of: Promise::default() };
    alone.0.handle(Instant::default(), Input::Message { from: NODES[0], message });
    // It asks again all the time, and is polled once each time.
    let answer = (1..=5).find_map(|round| {
        alone.0.handle(Instant::from_micros(round * 50_000), Input::Wake);
        match alone.0.poll()? {
            Output::Send { message: Message::Done { tx, .. }, .. } => Some(tx),
            Output::Send { .. } | Output::Save(_) | Output::Event(_) => None,
        }
    });
    assert_eq!(answer, Some(tx(3)));
}

#[test]
fn a_receipt_for_all_lets_all_votes_go() {
    let mut alone = Alone::new();
    let claims = [4, 5, 6].into_iter().flat_map(|number| alone.promise(number).claims).collect();
    assert_eq!(alone.saved(claims).yes, [4, 5, 6].map(tx));
}

#[test]
fn the_only_one_that_did_it_remembers_that_until_the_coordinator_has_heard() {
    let mut alone = Alone::new();
    for number in [4, 5] {
        alone.prepare(number, true);
        alone.say(Request::Promise(tx(number))).expect("it was asked");
        let done = alone.say(Request::Finish(tx(number))).expect("it was decided at once");
        assert_eq!(alone.saved(done.claims).done, [tx(number)]);
    }
    // Done in an earlier life. There is no room to remember it now, and it is not said to be done without that.
    assert_eq!(alone.prepare(6, true).asked, [tx(6)]);
    assert_eq!(alone.say(Request::Finish(tx(6))).unwrap_err(), Reason::Busy);
    assert_eq!(alone.say(Request::Finish(tx(7))).unwrap_err(), Reason::Busy);
    // The coordinator has heard of the first, and forgotten it.
    alone.hear(Message::Decision { tx: tx(4), commit: false, of: Promise::default() });
    let done = alone.say(Request::Finish(tx(6))).expect("there is room");
    assert_eq!(alone.saved(done.claims).done, [tx(6)]);
    let again = alone.prepare(6, true);
    assert_eq!((again.asked, again.done), (vec![], vec![tx(6)]), "it is not asked for a second time");
}
