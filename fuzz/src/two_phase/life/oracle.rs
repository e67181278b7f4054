//! What a node may say, by what it was told and what is durable.

use super::super::Work;
use super::application::Standing;
use super::{Life, ME};
use quorate::codec::take;
use quorate::two_phase::coordinator::{self, Outcome};
use quorate::two_phase::{Message, Node, Promise, Record, Vote, participant};
use quorate::{Hosted, NodeId, Space, TxId};

/// What a record says that others may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Numbered(u64),
    Committed(TxId),
    Promised(TxId, Promise),
    Forced(TxId),
    Ended(TxId),
}

pub(super) fn facts(record: &Record<'_, Work>, facts: &mut Vec<Fact>) {
    match *record {
        Record::Numbered { through } => facts.push(Fact::Numbered(through)),
        Record::Committed { tx, .. } => facts.push(Fact::Committed(tx)),
        Record::Promised { tx, promise, .. } => facts.push(Fact::Promised(tx, promise)),
        Record::Forced { tx, .. } => facts.push(Fact::Forced(tx)),
        Record::Ended { tx } | Record::Kept { tx } | Record::Refused { tx } => facts.push(Fact::Ended(tx)),
        Record::Past { .. } => {}
        Record::Restart(ref records) => records.for_each(&mut |record| self::facts(&record, facts)),
    }
}

impl<S: Space> Life<S> {
    /// Whether the node was told that a record with this in it is durable.
    fn is_sure(&self, log: usize, is: impl Fn(&Fact) -> bool) -> bool {
        let sure = self.entries.iter().take(self.sure[log]).filter(|entry| entry.log == log);
        sure.flat_map(|entry| &entry.facts).any(is)
    }

    // What it says.

    pub(super) fn on_sent(&mut self, to: NodeId, bytes: &[u8]) {
        let message = Node::<Work, S>::take_message(bytes).expect("what a machine says is a message");
        assert_canonical::<S>(&message, bytes);
        assert!(to != ME, "what a node says to itself stays there");
        let tx = message.tx();
        if let Message::Vote { vote: Vote::Yes(_), .. } = message {
            let mut rest = bytes;
            let numbers: [u64; 5] = take(&mut rest).expect("a vote is numbers");
            self.heard.iter_mut().filter(|(known, _)| *known == tx).for_each(|(_, of)| *of = numbers[4]);
        }
        if !self.is_sound {
            return;
        }
        assert!([2, 3].contains(&to.get()), "messages go to peers");
        match message {
            Message::Prepare { .. } => {
                let is_used = |fact: &Fact| matches!(fact, Fact::Numbered(through) if *through > tx.number);
                assert!(self.is_sure(0, is_used), "{tx} is named before it is durable that it may be");
                let life = *self.named.entry(tx).or_insert(self.lives);
                assert_eq!(life, self.lives, "{tx} begins twice");
            }
            Message::Vote { vote: Vote::Yes(promise), .. } => {
                let is_it = |fact: &Fact| *fact == Fact::Promised(tx, promise);
                assert!(self.is_sure(1, is_it), "a yes in {tx} before it is durable");
            }
            Message::Vote { vote: Vote::ReadOnly, .. } => {
                let of = Promise::default();
                let is_it = |fact: &Fact| [Fact::Promised(tx, of), Fact::Ended(tx)].contains(fact);
                assert!(self.is_sure(1, is_it), "what {tx} read is held before it is durable");
            }
            Message::Vote { vote: Vote::No, .. } => {
                // It is answered before it is told: what is over was perhaps heard just now.
                let is_over = match self.standing.get(&tx) {
                    None | Some(Standing::Asked | Standing::Released) => true,
                    Some(Standing::Promised) => self.is_decided(tx, false),
                    Some(Standing::Reading) => self.is_ended(tx),
                    Some(Standing::Doing) => false,
                };
                assert!(is_over, "a no in {tx} that was promised");
            }
            Message::Decision { commit: true, of, .. } if tx.coordinator == ME => {
                let is_it = of == Promise::default() || self.is_sure(0, |fact| *fact == Fact::Committed(tx));
                assert!(is_it, "{tx} is decided before it is durable");
            }
            Message::Decision { commit, .. } if tx.coordinator != ME => {
                let is_refused = !commit && self.is_sure(1, |fact| *fact == Fact::Ended(tx));
                assert!(
                    is_refused || self.told.contains(&(tx, commit)),
                    "{tx} is decided by who only takes part"
                );
            }
            Message::Done { commit: true, .. } if !self.forced.contains(&tx) => {
                assert!(self.standing.get(&tx) != Some(&Standing::Doing), "{tx} is not done yet");
                let is_old = self.earlier.contains(&tx) || !self.finished.contains_key(&tx);
                assert!(is_old || self.is_finished(tx), "{tx} is done before it is durable");
            }
            Message::Decision { .. } | Message::Done { .. } | Message::Ask { .. } | Message::Wound { .. } => {
            }
        }
    }

    pub(super) fn on_coordinator(&mut self, event: coordinator::Event) {
        match event {
            coordinator::Event::Ended { tx, outcome, .. } => {
                let is_begun = self.begun.contains(&tx);
                let is_news = self.ended.insert(tx);
                if !self.is_sound {
                    return;
                }
                assert!(is_begun && is_news, "{tx} ends once, in the life in which it began");
                let is_it = |fact: &Fact| *fact == Fact::Committed(tx);
                match outcome {
                    Outcome::Committed => {
                        let is_recorded = self.facts().any(is_it);
                        assert!(!is_recorded || self.is_sure(0, is_it), "{tx} is told before it is durable");
                        assert!(is_recorded || self.is_plain(tx), "{tx} is told, and not recorded");
                    }
                    // It may come to be known.
                    Outcome::Unknown => {}
                    Outcome::Aborted(_) => {
                        assert!(!self.facts().any(is_it), "{tx} is decided, and then is not");
                    }
                }
            }
            coordinator::Event::Contradicted { .. } => {}
        }
    }

    /// Whether the node was told that it is durable that this was done.
    pub(super) fn is_finished(&self, tx: TxId) -> bool {
        self.finished.get(&tx).is_some_and(|at| self.sure[1] > *at)
    }

    /// What was promised last, if anything.
    fn promise(&self, tx: TxId) -> Option<Promise> {
        let promises = self.facts().filter_map(|fact| match *fact {
            Fact::Promised(of, promise) if of == tx => Some(promise),
            _ => None,
        });
        promises.last()
    }

    /// Whether it was told that what was promised last is decided so. All promises are given up by the default one.
    fn is_decided(&self, tx: TxId, commit: bool) -> bool {
        let is_it = |of| self.promise(tx) == Some(of) || !commit && of == Promise::default();
        self.decided.iter().any(|&(id, so, of)| (id, so) == (tx, commit) && is_it(of))
    }

    /// Whether it was told that it is over, however it ended: then who only read lets go.
    fn is_ended(&self, tx: TxId) -> bool {
        self.decided.iter().any(|(id, ..)| *id == tx)
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.entries.iter().flat_map(|entry| &entry.facts)
    }

    /// Whether one node took part, or all only read: then nothing is recorded.
    fn is_plain(&self, tx: TxId) -> bool {
        let Some(parts) = self.parts.get(&tx) else { return false };
        parts.len() == 1 || parts.iter().all(|node| self.readers.contains(&(*node, tx)))
    }

    pub(super) fn on_participant(&mut self, told: Told) {
        match told {
            Told::Retake(tx) => {
                assert!(!self.is_ready, "what was promised is told before anything else");
                let is_read = self.promise(tx) == Some(Promise::default());
                self.standing.insert(tx, if is_read { Standing::Reading } else { Standing::Promised });
            }
            Told::Ready => self.is_ready = true,
            Told::Prepare(tx) => {
                assert!(self.is_ready, "what was promised is told before anything else");
                self.decided.retain(|(of, ..)| *of != tx);
                let before = self.standing.insert(tx, Standing::Asked);
                assert!(before.is_none(), "{tx} is asked for once");
            }
            Told::Decided(tx, commit) => {
                let before = self.standing.remove(&tx);
                if commit {
                    self.standing.insert(tx, Standing::Doing);
                }
                if self.is_sound {
                    self.assert_decided(tx, commit, before);
                }
            }
            Told::Contradicted => {}
        }
    }

    fn assert_decided(&self, tx: TxId, commit: bool, before: Option<Standing>) {
        let was_forced = self.forced.contains(&tx);
        let is_forced = was_forced && self.is_sure(1, |fact| *fact == Fact::Forced(tx));
        let is_own = tx.coordinator == ME;
        if !commit {
            let is_over = match before {
                _ if is_own || is_forced => true,
                // A peer that has promised may have asked.
                Some(Standing::Asked | Standing::Released) => true,
                Some(Standing::Promised) => self.is_decided(tx, false),
                Some(Standing::Reading) => self.is_ended(tx) || self.only.contains(&tx),
                Some(Standing::Doing) | None => false,
            };
            assert!(is_over, "{tx} is let go of, and nobody held it or nobody gave it up");
            return;
        }
        assert!(before == Some(Standing::Promised) || is_forced, "{tx} was not promised");
        let is_alone =
            self.only.contains(&tx) || is_own && self.parts.get(&tx).is_some_and(|parts| parts.len() == 1);
        let is_promised = self.is_sure(1, |fact| matches!(fact, Fact::Promised(of, _) if *of == tx));
        assert!(is_promised || is_alone, "{tx} is done before its promise is durable");
        let is_recorded = is_own && self.is_sure(0, |fact| *fact == Fact::Committed(tx));
        let is_decided = self.is_decided(tx, true) || is_recorded || is_forced || is_alone;
        assert!(is_decided, "nobody decided {tx}");
    }
}

/// What the application of a participant is told.
pub(super) enum Told {
    Retake(TxId),
    Ready,
    Prepare(TxId),
    Decided(TxId, bool),
    Contradicted,
}

impl Told {
    pub(super) const fn of(event: &participant::Event<'_, Work>) -> Self {
        match *event {
            participant::Event::Retake { tx, .. } => Self::Retake(tx),
            participant::Event::Ready => Self::Ready,
            participant::Event::Prepare { tx, .. } => Self::Prepare(tx),
            participant::Event::Decided { tx, commit, .. } => Self::Decided(tx, commit),
            participant::Event::Contradicted { .. } => Self::Contradicted,
        }
    }
}

/// A message that was decoded encodes to the same bytes, or to fewer: a number may be written longer than it need be.
pub(super) fn assert_canonical<S: Space>(message: &Message<'_, Work>, bytes: &[u8]) {
    let mut first = Vec::new();
    Node::<Work, S>::put_message(message, &mut first).expect("a vector is never full");
    assert!(first.len() <= bytes.len(), "a message grows when it is encoded");
    let again = Node::<Work, S>::take_message(&first).expect("what was encoded decodes");
    let mut second = Vec::new();
    Node::<Work, S>::put_message(&again, &mut second).expect("a vector is never full");
    assert_eq!(first, second, "a message changes when it is encoded");
}
