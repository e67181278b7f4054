//! The lock manager: what it promises, one claim per test, and against a model that is as simple as can be.

use quickcheck::{Arbitrary, Gen, quickcheck};
use quorate::codec::Malformed;
use quorate::locks::{Acquired, Full, Locks, Mode};
use quorate::space::{Fixed, Heap};
use quorate::{Age, NodeId, Space, TxId};

use Acquired::{Granted, Waiting};
use Mode::{Exclusive, Shared};

const KEYS: usize = 24;
const TXS: usize = 8;
type InHeap = Heap<3, 8>;
type Manager<S = InHeap> = Locks<u8, S, KEYS, TXS>;

const fn tx(number: u64) -> TxId {
    TxId { coordinator: NodeId::new(1), number }
}

/// A transaction whose age is its number: 1 is the oldest.
fn ask<S: Space>(locks: &mut Manager<S>, number: u64, keys: &[(u8, Mode)]) -> Acquired {
    locks.acquire(tx(number), Age::new(number), keys.iter().copied()).expect("there is room")
}

fn granted<S: Space>(locks: &mut Manager<S>) -> Vec<u64> {
    std::iter::from_fn(|| locks.next_granted()).map(|tx| tx.number).collect()
}

fn wounded<S: Space>(locks: &mut Manager<S>) -> Vec<u64> {
    std::iter::from_fn(|| locks.next_wounded()).map(|tx| tx.number).collect()
}

fn image<S: Space>(locks: &Manager<S>) -> Vec<u8> {
    let mut bytes = Vec::new();
    locks.snapshot(&mut bytes).expect("a vector takes it all");
    bytes
}

#[test]
fn those_who_look_share_a_key_and_who_changes_it_has_it_alone() {
    let mut locks = Manager::<InHeap>::default();
    assert_eq!(ask(&mut locks, 1, &[(b'a', Shared)]), Granted);
    assert_eq!(ask(&mut locks, 2, &[(b'a', Shared)]), Granted);
    assert_eq!(ask(&mut locks, 3, &[(b'a', Exclusive)]), Waiting);
    assert_eq!(ask(&mut locks, 4, &[(b'b', Exclusive)]), Granted);
    assert_eq!(ask(&mut locks, 5, &[(b'b', Exclusive)]), Waiting);
    assert_eq!(ask(&mut locks, 6, &[(b'b', Shared)]), Waiting);
    locks.release(tx(1));
    assert_eq!(granted(&mut locks), []);
    locks.release(tx(2));
    assert_eq!(granted(&mut locks), [3]);
}

#[test]
fn a_key_that_comes_twice_takes_room_once_and_the_stricter_counts() {
    let mut locks = Manager::<InHeap>::default();
    let all: Vec<_> = (2..KEYS as u8).map(|key| (key, Shared)).collect();
    assert_eq!(ask(&mut locks, 1, &all), Granted);
    let twice = [(1, Shared), (1, Exclusive), (0, Exclusive), (1, Shared), (0, Shared)];
    for third in [KEYS as u8, 2] {
        let keys = twice.into_iter().chain([(third, Shared)]);
        assert_eq!(locks.acquire(tx(2), Age::new(2), keys), Err(Full::Keys));
        assert!(!locks.conflicts(&0, Shared) && !locks.conflicts(&1, Shared));
    }
    assert_eq!(ask(&mut locks, 3, &twice), Granted);
    assert!(locks.conflicts(&0, Shared) && locks.conflicts(&1, Shared));
}

#[test]
fn many_keys_are_found_again_whatever_was_there_before() {
    let mut locks = Locks::<u64, InHeap, 4096, 8>::default();
    let spread =
        |number: u64| (0..500).map(move |key: u64| (key * 7919 % 4001 + number % 2 * 4001, Exclusive));
    for number in 1..=6 {
        let granted = locks.acquire(tx(number), Age::new(number), spread(number)).expect("there is room");
        assert_eq!(granted, if number > 2 { Waiting } else { Granted });
        assert!(spread(number).all(|(key, _)| locks.conflicts(&key, Shared)));
    }
    (1..=4).for_each(|number| locks.release(tx(number)));
    let next = std::iter::from_fn(|| locks.next_granted()).map(|tx| tx.number);
    assert_eq!(next.collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn a_transaction_holds_all_its_keys_or_waits_and_holds_none() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 1, &[(b'b', Exclusive)]);
    assert_eq!(ask(&mut locks, 2, &[(b'a', Exclusive), (b'b', Exclusive), (b'c', Exclusive)]), Waiting);
    assert!(!locks.conflicts(&b'a', Shared), "it holds nothing while it waits");
    locks.release(tx(1));
    assert_eq!(granted(&mut locks), [2]);
    assert!(locks.conflicts(&b'a', Shared) && locks.conflicts(&b'c', Shared));
}

#[test]
fn a_key_that_is_looked_at_and_changed_is_held_alone() {
    for keys in [[(b'a', Shared), (b'a', Exclusive)], [(b'a', Exclusive), (b'a', Shared)]] {
        let mut locks = Manager::<InHeap>::default();
        assert_eq!(ask(&mut locks, 1, &keys), Granted);
        assert!(locks.conflicts(&b'a', Shared));
        assert_eq!(ask(&mut locks, 2, &[(b'a', Shared)]), Waiting);

        let mut locks = Manager::<InHeap>::default();
        ask(&mut locks, 1, &[(b'a', Shared)]);
        assert_eq!(ask(&mut locks, 2, &keys), Waiting, "the other one shares it");
    }
}

#[test]
fn asked_again_the_answer_is_the_same() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 1, &[(b'a', Exclusive)]);
    ask(&mut locks, 2, &[(b'a', Exclusive)]);
    let before = image(&locks);
    assert_eq!(ask(&mut locks, 1, &[(b'b', Exclusive)]), Granted);
    assert_eq!(ask(&mut locks, 2, &[]), Waiting);
    assert_eq!(image(&locks), before, "and nothing is added");
    locks.release(tx(1));
    assert_eq!((ask(&mut locks, 2, &[]), granted(&mut locks)), (Granted, vec![2]));
    locks.release(tx(1));
    assert_eq!((locks.standing(tx(1)), locks.standing(tx(2))), (None, Some(Granted)));
}

#[test]
fn an_older_one_wounds_the_younger_one_in_its_way_and_a_younger_one_just_waits() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 5, &[(b'a', Exclusive), (b'b', Exclusive)]);
    assert_eq!(ask(&mut locks, 6, &[(b'a', Exclusive)]), Waiting);
    assert_eq!(wounded(&mut locks), []);
    assert_eq!(ask(&mut locks, 2, &[(b'a', Shared), (b'b', Shared)]), Waiting);
    assert_eq!((wounded(&mut locks), wounded(&mut locks)), (vec![5], vec![]), "once, for two keys");
    ask(&mut locks, 2, &[(b'a', Shared)]);
    assert_eq!(wounded(&mut locks), [], "asking again is no new reason");
    ask(&mut locks, 3, &[(b'b', Exclusive)]);
    assert_eq!(wounded(&mut locks), [5], "another older one is");
}

#[test]
fn all_who_share_what_an_older_one_wants_alone_are_wounded_if_they_are_younger() {
    let mut locks = Manager::<InHeap>::default();
    for reader in [2, 4, 6] {
        ask(&mut locks, reader, &[(b'a', Shared)]);
    }
    ask(&mut locks, 3, &[(b'a', Exclusive)]);
    assert_eq!(wounded(&mut locks), [4, 6]);
}

#[test]
fn who_waits_is_not_wounded_since_it_holds_nothing_here() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 1, &[(b'a', Exclusive)]);
    ask(&mut locks, 5, &[(b'a', Exclusive), (b'b', Exclusive)]);
    ask(&mut locks, 3, &[(b'a', Exclusive)]);
    assert_eq!(ask(&mut locks, 4, &[(b'b', Exclusive)]), Granted, "older than the one in line");
    assert_eq!(wounded(&mut locks), []);
}

#[test]
fn a_wound_is_not_told_once_nobody_waits_for_it() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 5, &[(b'a', Exclusive)]);
    ask(&mut locks, 2, &[(b'a', Exclusive)]);
    locks.release(tx(2));
    assert_eq!(wounded(&mut locks), []);
}

#[test]
fn the_oldest_in_line_is_next_whenever_it_came() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 1, &[(b'a', Exclusive)]);
    for late in [7, 3, 5] {
        ask(&mut locks, late, &[(b'a', Exclusive)]);
    }
    for next in [3, 5, 7] {
        let holder =
            locks.transactions().find(|(_, _, acquired)| *acquired == Granted).expect("one holds it");
        locks.release(holder.0);
        assert_eq!(granted(&mut locks), [next]);
    }
}

#[test]
fn of_the_same_age_the_lower_name_goes_first() {
    let mut locks = Manager::<InHeap>::default();
    let mut ask = |number| locks.acquire(tx(number), Age::new(1), [(b'a', Exclusive)]);
    assert_eq!((ask(2), ask(3), ask(1)), (Ok(Granted), Ok(Waiting), Ok(Waiting)));
    assert_eq!(wounded(&mut locks), [2]);
    locks.release(tx(2));
    assert_eq!(granted(&mut locks), [1]);
}

#[test]
fn a_younger_one_does_not_overtake_an_older_one_it_conflicts_with() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 1, &[(b'a', Shared)]);
    ask(&mut locks, 2, &[(b'a', Exclusive)]);
    assert_eq!(ask(&mut locks, 3, &[(b'a', Shared)]), Waiting, "or readers would keep a writer out for ever");
    assert_eq!(ask(&mut locks, 4, &[(b'b', Exclusive)]), Granted, "what does not conflict passes");
    locks.release(tx(2));
    assert_eq!(granted(&mut locks), [3], "and who leaves the line lets the next through");
}

#[test]
fn an_older_one_passes_those_in_line() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 3, &[(b'a', Shared)]);
    ask(&mut locks, 5, &[(b'a', Exclusive)]);
    assert_eq!(ask(&mut locks, 4, &[(b'a', Shared)]), Granted);
}

#[test]
fn one_that_goes_lets_several_through_and_each_is_told_once_the_oldest_first() {
    let mut locks = Manager::<InHeap>::default();
    ask(&mut locks, 1, &[(b'a', Exclusive), (b'b', Exclusive)]);
    ask(&mut locks, 4, &[(b'a', Shared)]);
    ask(&mut locks, 3, &[(b'a', Shared)]);
    ask(&mut locks, 5, &[(b'a', Exclusive)]);
    ask(&mut locks, 2, &[(b'b', Exclusive)]);
    locks.release(tx(1));
    assert_eq!((granted(&mut locks), granted(&mut locks)), (vec![2, 3, 4], vec![]));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_trace() {
    let mut locks = Manager::<InHeap>::default();
    let keys = |from: u8, count: u8| (from..from + count).map(|key| (key, Exclusive));
    assert_eq!(locks.acquire(tx(1), Age::new(1), keys(0, 20)), Ok(Granted));
    let before = image(&locks);
    assert_eq!(locks.acquire(tx(2), Age::new(0), keys(16, 5)), Err(Full::Keys));
    assert_eq!((image(&locks), wounded(&mut locks)), (before, vec![]));
    assert_eq!(
        locks.acquire(tx(2), Age::new(2), keys(20, 4).chain(keys(20, 4))),
        Ok(Granted),
        "twice is once"
    );
    for number in 3..=TXS as u64 {
        assert_eq!(locks.acquire(tx(number), Age::new(3), []), Ok(Granted));
    }
    let before = image(&locks);
    assert_eq!(locks.acquire(tx(99), Age::new(99), []), Err(Full::Transactions));
    assert_eq!((image(&locks), ask(&mut locks, 1, &[])), (before, Granted), "who is there is still answered");
}

/// One that holds and is wounded, one that waits, one that was let through and nobody was told.
fn busy() -> Manager {
    let mut locks = Manager::default();
    ask(&mut locks, 1, &[(b'b', Exclusive)]);
    ask(&mut locks, 4, &[(b'b', Shared)]);
    ask(&mut locks, 3, &[(b'a', Exclusive)]);
    ask(&mut locks, 2, &[(b'a', Shared)]);
    locks.release(tx(1));
    locks
}

#[test]
fn locks_are_these_bytes() {
    let golden = [
        1, // version
        3, 1, 2, 2, 0, 0, 1, 3, 3, 2, 1, 1, 4, 4, 1, 0, // transactions: name, age, state, wounded
        3, b'a', 1, 2, 0, b'a', 1, 3, 1, b'b', 1, 4, 0, // rows: key, name, mode
    ];
    assert_eq!(image(&busy()), golden);
}

#[test]
fn what_was_not_told_is_told_after_a_restart() {
    let bytes = [&image(&busy())[..], b"rest"].concat();
    let mut input = &bytes[..];
    let mut locks = Manager::<InHeap>::restore(&mut input).expect("its own bytes");
    assert_eq!(input, b"rest");
    assert_eq!((granted(&mut locks), wounded(&mut locks)), (vec![4], vec![3]));
}

#[test]
fn a_copy_has_news_when_the_original_has() {
    let mut locks = busy();
    for told in [false, true] {
        if told {
            granted(&mut locks);
            wounded(&mut locks);
        }
        let copy = Manager::<InHeap>::restore(&mut &image(&locks)[..]).expect("its own bytes");
        assert_eq!((locks.has_news(), copy.has_news()), (!told, !told));
    }
}

#[test]
fn bytes_that_break_a_promise_are_malformed() {
    let claim = |number, state, wounded| [1, number, number, state, wounded];
    let row = |key, number, mode| [key, 1, number, mode];
    let locks = |claims: &[[u8; 5]], rows: &[[u8; 4]]| {
        let counts = [1, claims.len() as u8, rows.len() as u8];
        let bytes = [&counts[..2], &claims.concat(), &counts[2..], &rows.concat()].concat();
        Manager::<InHeap>::restore(&mut &bytes[..]).map(|_| ())
    };
    let (first, second) = (claim(1, 2, 0), claim(2, 2, 0));
    assert_eq!(locks(&[first, second], &[row(7, 1, 0), row(7, 2, 0)]), Ok(()));
    let broken = [
        locks(&[second, first], &[]),
        locks(&[first, first], &[]),
        locks(&[first], &[row(7, 2, 0)]),
        locks(&[first], &[row(7, 1, 0), row(7, 1, 1)]),
        locks(&[first], &[row(7, 1, 0), row(6, 1, 1)]),
        locks(&[first, second], &[row(7, 1, 1), row(7, 2, 0)]),
        locks(&[claim(1, 0, 0)], &[row(7, 1, 1)]),
        locks(&[first, claim(2, 0, 1)], &[row(7, 1, 1), row(7, 2, 0)]),
        locks(&[claim(1, 3, 0)], &[row(7, 1, 1)]),
        locks(&[claim(1, 4, 0)], &[row(7, 1, 1)]),
        locks(&[first; TXS + 1], &[]),
    ];
    for (at, broken) in broken.into_iter().enumerate() {
        assert_eq!(broken, Err(Malformed::Content), "{at}");
    }
    assert_eq!(Manager::<InHeap>::restore(&mut &[2, 0, 0][..]).map(|_| ()), Err(Malformed::Version(2)));
}

/// What is asked of a manager.
#[derive(Clone, Debug)]
enum Call {
    Acquire { number: u64, age: u64, keys: Vec<(u8, Mode)> },
    Release { number: u64 },
    Restart,
}

impl Arbitrary for Call {
    fn arbitrary(g: &mut Gen) -> Self {
        let number = u64::arbitrary(g) % 12;
        match u8::arbitrary(g) % 8 {
            0..=4 => {
                let key = |g: &mut Gen| (u8::arbitrary(g) % 6, *g.choose(&[Shared, Exclusive]).expect("two"));
                let keys = (0..u8::arbitrary(g) % 6).map(|_| key(g)).collect();
                Self::Acquire { number, age: u64::arbitrary(g) % 6, keys }
            }
            5 | 6 => Self::Release { number },
            _ => Self::Restart,
        }
    }
}

/// A transaction as the model knows it.
#[derive(Clone, Debug)]
struct Asked {
    rank: (u64, u64),
    keys: Vec<(u8, Mode)>,
    holds: bool,
}

impl Asked {
    fn conflicts(&self, other: &Self) -> bool {
        let mine = self.keys.iter();
        mine.flat_map(|mine| other.keys.iter().map(move |theirs| (mine, theirs)))
            .any(|(mine, theirs)| mine.0 == theirs.0 && (mine.1 == Exclusive || theirs.1 == Exclusive))
    }

    /// Whether this one has to wait for the other.
    fn waits_for(&self, other: &Self) -> bool {
        !self.holds && self.conflicts(other) && (other.holds || other.rank < self.rank)
    }
}

/// The rules again, one by one, over a list.
#[derive(Clone, Debug, Default)]
struct Model {
    asked: Vec<Asked>,
    granted: Vec<u64>,
    wounded: Vec<u64>,
}

impl Model {
    fn acquire(&mut self, number: u64, age: u64, keys: &[(u8, Mode)]) -> Result<Acquired, Full> {
        if let Some(asked) = self.asked.iter().find(|asked| asked.rank.1 == number) {
            return Ok(if asked.holds { Granted } else { Waiting });
        }
        let mut keys = keys.to_vec();
        keys.sort_by_key(|&(key, mode)| (key, mode == Shared));
        keys.dedup_by_key(|(key, _)| *key);
        let in_use: usize = self.asked.iter().map(|asked| asked.keys.len()).sum();
        if self.asked.len() == TXS {
            return Err(Full::Transactions);
        }
        if in_use + keys.len() > KEYS {
            return Err(Full::Keys);
        }
        let mut asked = Asked { rank: (age, number), keys, holds: false };
        asked.holds = !self.asked.iter().any(|other| asked.waits_for(other));
        if !asked.holds {
            let younger = self.asked.iter().filter(|other| other.holds && other.rank > asked.rank);
            self.wounded.extend(younger.filter(|other| other.conflicts(&asked)).map(|other| other.rank.1));
        }
        let acquired = if asked.holds { Granted } else { Waiting };
        self.asked.push(asked);
        Ok(acquired)
    }

    fn release(&mut self, number: u64) {
        self.asked.retain(|asked| asked.rank.1 != number);
        self.asked.sort_by_key(|asked| asked.rank);
        for at in 0..self.asked.len() {
            let asked = &self.asked[at];
            let waits = self.asked.iter().any(|other| other.rank != asked.rank && asked.waits_for(other));
            if !asked.holds && !waits {
                self.granted.push(asked.rank.1);
                self.asked[at].holds = true;
            }
        }
        self.wounded.clear();
    }

    /// Those who were wounded since this was last asked, by name.
    fn wounded(&mut self) -> Vec<u64> {
        self.wounded.sort_unstable();
        self.wounded.dedup();
        std::mem::take(&mut self.wounded)
    }

    fn conflicts(&self, key: u8, mode: Mode) -> bool {
        let outside = Asked { rank: (0, 0), keys: vec![(key, mode)], holds: true };
        self.asked.iter().any(|asked| asked.holds && asked.conflicts(&outside))
    }
}

/// Whether a manager does, call for call, what the model does.
fn is_as_its_model<S: Space>(calls: &[Call]) -> bool {
    let (mut locks, mut model) = (Manager::<S>::default(), Model::default());
    calls.iter().all(|call| {
        let same = match call {
            Call::Acquire { number, age, keys } => {
                let acquired = locks.acquire(tx(*number), Age::new(*age), keys.iter().copied());
                acquired == model.acquire(*number, *age, keys)
            }
            Call::Release { number } => {
                locks.release(tx(*number));
                model.release(*number);
                true
            }
            Call::Restart => {
                let bytes = image(&locks);
                locks = Manager::<S>::restore(&mut &bytes[..]).expect("its own bytes");
                image(&locks) == bytes
            }
        };
        let keys = (0..6).flat_map(|key| [(key, Shared), (key, Exclusive)]);
        let has_news = |locks: &Manager<S>| {
            let restored = Manager::<S>::restore(&mut &image(locks)[..]).expect("its own bytes");
            assert_eq!(locks.has_news(), restored.has_news(), "a replica that was restored says the same");
            locks.has_news()
        };
        let news = has_news(&locks) || model.granted.is_empty() && model.wounded.is_empty();
        same && news
            && granted(&mut locks) == std::mem::take(&mut model.granted)
            && wounded(&mut locks) == model.wounded()
            && !has_news(&locks)
            && model.asked.iter().all(|asked| {
                let acquired = if asked.holds { Granted } else { Waiting };
                locks.standing(tx(asked.rank.1)) == Some(acquired)
            })
            && locks.transactions().count() == model.asked.len()
            && keys.into_iter().all(|(key, mode)| locks.conflicts(&key, mode) == model.conflicts(key, mode))
    })
}

/// Whether the bytes are malformed, or locks that can run on and be written again.
fn restored(bytes: &[u8]) -> bool {
    let Ok(mut locks) = Manager::<InHeap>::restore(&mut &bytes[..]) else { return true };
    let (_, _) = (granted(&mut locks), wounded(&mut locks));
    let all: Vec<_> = locks.transactions().map(|(tx, _, _)| tx).collect();
    all.into_iter().for_each(|tx| locks.release(tx));
    image(&locks) == [1, 0, 0]
}

quickcheck! {
    fn locks_are_as_their_model(calls: Vec<Call>) -> bool {
        is_as_its_model::<InHeap>(&calls) && is_as_its_model::<Fixed<3, 8>>(&calls)
    }

    fn any_bytes_are_locks_or_malformed(bytes: Vec<u8>) -> bool {
        restored(&bytes) && restored(&[&[1], &bytes[..]].concat())
    }

    fn corrupt_locks_are_locks_or_malformed(calls: Vec<Call>, place: usize, byte: u8) -> bool {
        let mut locks = Manager::<InHeap>::default();
        for call in calls {
            match call {
                Call::Acquire { number, age, keys } => {
                    let _ = locks.acquire(tx(number), Age::new(age), keys);
                }
                Call::Release { number } => locks.release(tx(number)),
                Call::Restart => (),
            }
        }
        let mut bytes = image(&locks);
        let place = place % bytes.len();
        bytes[place] = byte;
        restored(&bytes)
    }

    fn several_managers_never_stand_still(plans: Vec<Plan>, chance: Vec<u8>) -> bool {
        Crossing::new(plans).runs(&chance)
    }
}

/// The managers that a transaction asks, in this order, and for what.
#[derive(Clone, Debug)]
struct Plan(Vec<(usize, Vec<(u8, Mode)>)>);

const MANAGERS: usize = 3;

impl Arbitrary for Plan {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut managers: Vec<_> = (0..MANAGERS).collect();
        managers.swap(0, usize::arbitrary(g) % MANAGERS);
        managers.swap(1, 1 + usize::arbitrary(g) % (MANAGERS - 1));
        let key = |g: &mut Gen| (u8::arbitrary(g) % 3, *g.choose(&[Shared, Exclusive]).expect("two"));
        let some = 1 + usize::arbitrary(g) % MANAGERS;
        Self(managers.into_iter().take(some).map(|at| (at, vec![key(g), key(g)])).collect())
    }
}

/// A transaction that asks one manager after the other, and starts again with a new name and its old age when it is wounded.
#[derive(Clone, Debug)]
struct Runner {
    plan: Plan,
    age: u64,
    number: u64,
    asked: usize,
    wounded: bool,
    done: bool,
}

struct Crossing {
    managers: Vec<(Manager, Model)>,
    runners: Vec<Runner>,
    next: u64,
}

impl Crossing {
    fn new(plans: Vec<Plan>) -> Self {
        let runner = |(age, plan)| Runner { plan, age, number: age, asked: 0, wounded: false, done: false };
        let runners: Vec<_> = (1..).zip(plans.into_iter().take(TXS)).map(runner).collect();
        let managers = (0..MANAGERS).map(|_| Default::default()).collect();
        Self { managers, next: 1 + runners.len() as u64, runners }
    }

    /// Whether all end, whatever the order, and no circle of waits is ever without a wound.
    fn runs(mut self, chance: &[u8]) -> bool {
        // Even if at each step the youngest was to go, this would be enough for all to be tried again for each that ends.
        let enough = 8 * (self.runners.len() + 1).pow(3);
        let mut chance = chance.iter().chain(std::iter::repeat(&7)).zip(1_usize..);
        for _ in 0..enough {
            let able: Vec<_> = (0..self.runners.len()).filter(|&at| self.is_able(at)).collect();
            let (byte, salt) = chance.next().expect("it never ends");
            let Some(&at) = able.get((usize::from(*byte) + salt) % able.len().max(1)) else {
                return self.runners.iter().all(|runner| runner.done);
            };
            self.step(at);
            if !self.circles_are_broken() {
                return false;
            }
        }
        false
    }

    /// Whether a transaction can go on by itself: it is wounded, or waits nowhere.
    fn is_able(&self, at: usize) -> bool {
        let runner = &self.runners[at];
        let standing = |manager: &(Manager, Model)| manager.0.standing(tx(runner.number));
        !runner.done && (runner.wounded || !self.managers.iter().any(|at| standing(at) == Some(Waiting)))
    }

    fn step(&mut self, at: usize) {
        let runner = &mut self.runners[at];
        let number = runner.number;
        if runner.wounded {
            (runner.wounded, runner.asked, runner.number) = (false, 0, self.next);
            self.next += 1;
            self.release(number);
        } else if let Some((manager, keys)) = runner.plan.0.get(runner.asked) {
            runner.asked += 1;
            let (locks, model) = &mut self.managers[*manager];
            let acquired = locks.acquire(tx(number), Age::new(runner.age), keys.iter().copied());
            assert_eq!(acquired, model.acquire(number, runner.age, keys));
        } else {
            runner.done = true;
            self.release(number);
        }
        for (locks, _) in &mut self.managers {
            let wounded = wounded(locks);
            self.runners.iter_mut().for_each(|runner| runner.wounded |= wounded.contains(&runner.number));
        }
    }

    fn release(&mut self, number: u64) {
        for (locks, model) in &mut self.managers {
            locks.release(tx(number));
            model.release(number);
        }
    }

    /// Without those who are wounded, some transaction waits for nobody, and so on without that one until none is left.
    fn circles_are_broken(&self) -> bool {
        let unhurt = |runner: &&Runner| !runner.done && !runner.wounded;
        let mut left: Vec<_> = self.runners.iter().filter(unhurt).map(|runner| runner.number).collect();
        loop {
            let waits = |number: &u64| {
                self.managers.iter().any(|(_, model)| {
                    let mine = model.asked.iter().find(|asked| asked.rank.1 == *number);
                    let mut others = model.asked.iter().filter(|other| left.contains(&other.rank.1));
                    mine.is_some_and(|mine| {
                        others.any(|other| other.rank != mine.rank && mine.waits_for(other))
                    })
                })
            };
            let still: Vec<_> = left.iter().copied().filter(waits).collect();
            if still.len() == left.len() {
                return left.is_empty();
            }
            left = still;
        }
    }
}
