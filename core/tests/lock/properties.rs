//! Random commands: against the naive model, in both spaces, across snapshots.

use crate::model::{LIMITS, Model};
use crate::rare;
use core::time::Duration;
use quickcheck::{Arbitrary, Gen, QuickCheck, Testable};
use quorate::lock::{Command, Name, Notice, Reply, SessionId, Table, Token, Ttl, Wait};
use quorate::space::{Fixed, Heap};
use quorate::{Application, Index, Moment, Space, Timestamp};
use std::collections::BTreeMap;

type Tight<S> = Table<S, { LIMITS[0] }, { LIMITS[1] }, { LIMITS[2] }>;
type OnHeap = Tight<Heap<4, 64>>;
type Inline = Tight<Fixed<4, 64>>;

/// Something to do, in numbers that mean something only against the state at hand.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    who: u8,
    which: u8,
    how: u8,
    seconds: u8,
}

impl Arbitrary for Step {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut below = |bound: u8| u8::arbitrary(g) % bound;
        // Rare enough that lines form, and long enough that they break.
        let seconds = if below(6) == 0 { below(5) } else { 0 };
        // One client and one lock more than there is room for; most want the first.
        let which = below(6).saturating_sub(3);
        Self { what: below(24), who: below(4), which, how: below(4), seconds }
    }
}

/// What was done and what came of it, over a whole log.
struct Log {
    model: Model,
    entry: u64,
    time: Timestamp,
    opened: [SessionId; 4],
}

impl Log {
    fn new() -> Self {
        Self { model: Model::default(), entry: 0, time: Timestamp::default(), opened: [SessionId::new(0); 4] }
    }

    /// The next entry, made of a step and of the state as it is before.
    fn next(&mut self, step: Step) -> (Moment, Option<Command>) {
        self.entry += 1 + u64::from(step.how == 3);
        self.time = self.time.after(Duration::from_secs(step.seconds.into()));
        let index = Index::new(self.entry);
        let session = self.opened[usize::from(step.who)];
        let name = Name::new([b'a' + step.which]).expect("short enough");
        let holder = self.model.locks.get(&name).map(|line| line[0].clone());
        let command = match step.what {
            0..=3 => {
                let ttl =
                    Ttl::new(Duration::from_secs(6 + 2 * u64::from(step.how))).expect("within the limits");
                Some(Command::Open { client: step.who.into(), ttl })
            }
            4..=8 => Some(Command::Renew { session }),
            9 => Some(Command::Close { session }),
            10..=17 => {
                let wait = match step.how {
                    0 => Wait::No,
                    1 => Wait::AtMost(Duration::from_secs(2)),
                    _ => Wait::Unlimited,
                };
                Some(Command::Acquire { session, name, wait })
            }
            18..=20 => {
                // The right token, one that nobody can know yet, and whoever's.
                let guess = Token::new(index.get());
                let token = holder.as_ref().and_then(|holder| holder.token).unwrap_or(guess);
                let whose = holder.map_or(session, |holder| holder.session);
                Some(match step.how {
                    0 => Command::Release { session, name, token },
                    1 => Command::Release { session, name, token: guess },
                    _ => Command::Release { session: whose, name, token },
                })
            }
            21 => Some(Command::Cancel { session, name }),
            _ => None,
        };
        (Moment { index, time: self.time }, command)
    }

    /// What the model makes of the entry.
    fn expect(&mut self, now: Moment, command: Option<&Command>) -> (Option<Reply>, Vec<Notice>) {
        let (reply, notices) = self.model.step(now, command);
        if let (Some(Command::Open { client, .. }), Some(Reply::Opened { session })) = (command, &reply) {
            self.opened[usize::try_from(*client).expect("few clients")] = *session;
        }
        (reply, notices)
    }
}

fn carry_out<S: Space>(
    table: &mut Tight<S>,
    now: Moment,
    command: Option<&Command>,
) -> (Option<Reply>, Vec<Notice>) {
    table.tick(now);
    let reply = command.map(|command| table.apply(now, command));
    (reply, core::iter::from_fn(|| table.notice()).collect())
}

fn bytes<S: Space>(table: &Tight<S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.snapshot(&mut bytes).expect("a vector takes all");
    bytes
}

fn sorted(mut notices: Vec<Notice>) -> Vec<Notice> {
    notices.sort_by_key(|notice| format!("{notice:?}"));
    notices
}

fn check(tests: u64, property: impl Testable) {
    QuickCheck::new().rng(Gen::new(200)).tests(tests).quickcheck(property);
}

#[test]
fn the_table_does_what_the_naive_model_does() {
    fn property(steps: Vec<Step>) {
        let (mut log, mut table) = (Log::new(), OnHeap::default());
        for step in steps {
            let (now, command) = log.next(step);
            let before = log.model.clone();
            let (reply, notices) = carry_out(&mut table, now, command.as_ref());
            rare::note(&before, now, command.as_ref(), reply.as_ref(), &notices);
            let (expected, told) = log.expect(now, command.as_ref());
            assert_eq!((reply, sorted(notices)), (expected, sorted(told)), "{command:?} at {now:?}");
            for (name, line) in &log.model.locks {
                let owner = table.owner(name).expect("it is held");
                assert_eq!((owner.session, Some(owner.token)), (line[0].session, line[0].token));
                assert!(table.waiting(name).eq(line[1..].iter().map(|place| place.session)));
            }
            let totals = table.totals();
            assert_eq!(
                (totals.locks as usize, totals.sessions as usize),
                (log.model.locks.len(), log.model.sessions.len())
            );
            // It may wake for nothing, but never late, and not again for the same nothing.
            match (table.deadline(), log.model.deadline()) {
                (Some(due), Some(first)) => assert!(due <= first),
                (None, Some(first)) => panic!("{first:?} would be missed"),
                (Some(_) | None, None) => {}
            }
            let closing = matches!(command, Some(Command::Close { .. }));
            assert!(closing || table.deadline().is_none_or(|due| due > now.time));
        }
    }
    check(5_000, property as fn(Vec<Step>));
    rare::assert_seen();
}

#[test]
fn both_spaces_give_the_same_replies_notices_and_snapshots() {
    fn property(steps: Vec<Step>) {
        let (mut log, mut heap, mut inline) = (Log::new(), OnHeap::default(), Inline::default());
        for step in steps {
            let (now, command) = log.next(step);
            log.expect(now, command.as_ref());
            assert_eq!(
                carry_out(&mut heap, now, command.as_ref()),
                carry_out(&mut inline, now, command.as_ref())
            );
            assert_eq!(heap.deadline(), inline.deadline());
            assert_eq!(bytes(&heap), bytes(&inline));
        }
    }
    check(1_500, property as fn(Vec<Step>));
}

#[test]
fn a_restore_in_the_middle_changes_nothing() {
    fn property(steps: Vec<(Step, bool)>) {
        let (mut log, mut stays, mut restarts) = (Log::new(), OnHeap::default(), OnHeap::default());
        for (step, restart) in steps {
            let (now, command) = log.next(step);
            log.expect(now, command.as_ref());
            assert_eq!(
                carry_out(&mut stays, now, command.as_ref()),
                carry_out(&mut restarts, now, command.as_ref())
            );
            if restart {
                restarts = OnHeap::restore(&bytes(&restarts)).expect("our own snapshot");
            }
            assert_eq!(stays.deadline(), restarts.deadline());
            assert_eq!(bytes(&stays), bytes(&restarts));
        }
    }
    check(1_500, property as fn(Vec<(Step, bool)>));
}

/// Waits for a lock that were told to be over, and grants, as a client or a checker of histories sees them.
#[test]
fn tokens_rise_and_each_wait_ends_once_in_the_order_in_which_it_began() {
    fn property(steps: Vec<Step>) {
        let (mut log, mut table) = (Log::new(), Inline::default());
        let mut highest = BTreeMap::<Name, Token>::new();
        let mut lines = BTreeMap::<Name, Vec<SessionId>>::new();
        let mut grant = |name: &Name, token| {
            let before = highest.insert(name.clone(), token);
            assert!(before.is_none_or(|before| before < token), "{name}: {token:?} after {before:?}");
        };
        for step in steps {
            let (now, command) = log.next(step);
            log.expect(now, command.as_ref());
            let held = |table: &Inline, name: &Name, session| {
                table.owner(name).is_some_and(|owner| owner.session == session)
            };
            let mine = match &command {
                Some(Command::Acquire { session, name, .. }) => held(&table, name, *session),
                _ => false,
            };
            let (reply, notices) = carry_out(&mut table, now, command.as_ref());
            let ended: Vec<_> = notices
                .iter()
                .filter_map(|notice| match notice {
                    Notice::Expired { session } | Notice::Closed { session } => Some(*session),
                    _ => None,
                })
                .collect();
            lines.values_mut().for_each(|line| line.retain(|session| !ended.contains(session)));
            for notice in &notices {
                match notice {
                    // Told by the end of its session already.
                    Notice::TimedOut { session, .. } if ended.contains(session) => {}
                    Notice::TimedOut { session, name } | Notice::Cancelled { session, name } => {
                        let line = lines.get_mut(name).expect("a line");
                        let before = line.len();
                        line.retain(|waiter| waiter != session);
                        assert_eq!(line.len() + 1, before);
                    }
                    Notice::Granted { session, name, token } => {
                        assert_eq!(lines.get_mut(name).expect("a line").remove(0), *session);
                        grant(name, *token);
                    }
                    Notice::Expired { .. } | Notice::Closed { .. } => {}
                }
            }
            let told = notices.iter().any(|notice| matches!(notice, Notice::Granted { .. }));
            match (&command, reply) {
                (Some(Command::Acquire { name, .. }), Some(Reply::Granted { token })) if !mine && !told => {
                    grant(name, token);
                }
                (Some(Command::Acquire { session, name, .. }), Some(Reply::Queued { .. })) => {
                    let line = lines.entry(name.clone()).or_default();
                    if !line.contains(session) {
                        line.push(*session);
                    }
                }
                _ => {}
            }
        }
    }
    check(1_500, property as fn(Vec<Step>));
}

#[test]
fn a_damaged_snapshot_is_refused_or_is_another_state() {
    fn property(steps: Vec<Step>, more: Vec<Step>, at: usize, bits: u8) {
        let (mut log, mut table) = (Log::new(), OnHeap::default());
        for step in steps {
            let (now, command) = log.next(step);
            log.expect(now, command.as_ref());
            carry_out(&mut table, now, command.as_ref());
        }
        let mut damaged = bytes(&table);
        let at = at % damaged.len();
        damaged[at] ^= bits;
        let Ok(mut other) = OnHeap::restore(&damaged) else { return };
        assert_eq!(other.check(), Ok(()));
        // Entries come after all that a snapshot names.
        log.entry = u64::MAX / 2;
        for step in more {
            let (now, command) = log.next(step);
            carry_out(&mut other, now, command.as_ref());
        }
    }
    check(1_500, property as fn(Vec<Step>, Vec<Step>, usize, u8));
}

#[test]
fn noise_is_no_snapshot_and_does_no_harm() {
    fn property(noise: Vec<u8>) {
        let _ = OnHeap::restore(&noise);
        let _ = OnHeap::restore(&[&[1][..], &noise].concat());
    }
    check(1_500, property as fn(Vec<u8>));
}
