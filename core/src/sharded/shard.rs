//! One group's part of all transactions: what is promised, what waits, and what was decided here.

use super::command::{Answer, Command, Notice, Query, Reply};
use super::rows::{Item, Part, Row, Rows, Stage};
use super::transactional::Transactional;
use super::{Key, LATE, LIMIT, RETRY, RETRY_MOST, SLACK, TURN, image};
use crate::codec::{Full, Malformed, Sink};
use crate::locks::{Acquired, Locks, Mode};
use crate::space::Heap;
use crate::{Age, Application, Command as _, GroupId, Moment, NodeId, Timestamp, TxId};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// How many keys may be locked in a group.
const KEYS: usize = 65_536;
/// How many transactions may hold some or wait.
const TRANSACTIONS: usize = 4096;

/// The locks of a group.
pub(super) type KeyLocks = Locks<Key, Heap<1, 1>, KEYS, TRANSACTIONS>;
pub(super) type CommandOf<A> = Command<<A as Application>::Command, <A as Transactional>::Work>;
pub(super) type ReplyOf<A> =
    Reply<<A as Application>::Reply, <A as Transactional>::Gain, <A as Transactional>::Objection>;
pub(super) type NoticeOf<A> = Notice<<A as Application>::Notice>;

/// An application in one of several groups, with what transactions need beside it: the locks on its keys, the parts that are
/// promised, and the decisions of those transactions whose home it is.
///
/// **Promises.** All of a part is done or nothing, as is decided at home. A key that a promised part changes is not seen,
/// and one that it looks at not changed, by anybody until then. What has to wait is carried out in line. Decisions to do
/// are remembered until all groups have done it; what is not remembered, and can be decided no more, is not done.
#[derive(Debug)]
pub struct Shard<A: Transactional> {
    pub(super) application: A,
    pub(super) locks: KeyLocks,
    pub(super) rows: Rows<A>,
    /// What was decided here, and has to be remembered.
    pub(super) decisions: BTreeMap<TxId, Decision>,
    /// When to look at what.
    pub(super) due: BTreeSet<(Timestamp, TxId)>,
    /// The largest age that was heard of.
    pub(super) latest: Age,
    /// Those whose turn it is are seen to then: no two write a key in one entry.
    pub(super) settles: Option<Timestamp>,
    pub(super) news: VecDeque<NoticeOf<A>>,
}

/// What was decided here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Decision {
    /// Who has to do it; none if it is decided that nothing is done.
    pub(super) groups: Vec<GroupId>,
    /// When to look whether they have; or from when on it could not be decided otherwise any more.
    pub(super) due: Timestamp,
}

impl Decision {
    /// Whether it is to be done.
    const fn is_to_do(&self) -> bool {
        !self.groups.is_empty()
    }
}

/// What is in doubt in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The transaction.
    pub tx: TxId,
    /// How old it is.
    pub age: Age,
    /// The group that has promised.
    pub group: GroupId,
    /// Where it is decided.
    pub home: GroupId,
    /// Since when, in the group's time.
    pub since: Timestamp,
    /// What an operator said, if one did.
    pub forced: Option<bool>,
}

impl<A: Transactional> Default for Shard<A> {
    fn default() -> Self {
        Self {
            application: A::default(),
            locks: KeyLocks::default(),
            rows: Rows::default(),
            decisions: BTreeMap::new(),
            due: BTreeSet::new(),
            latest: Age::default(),
            settles: None,
            news: VecDeque::new(),
        }
    }
}

impl<A: Transactional> Shard<A> {
    /// The application.
    pub const fn application(&self) -> &A {
        &self.application
    }

    /// What was promised here and is not settled.
    pub(super) fn in_doubt(&self, group: GroupId) -> impl Iterator<Item = InDoubt> {
        self.rows.iter().filter_map(move |(&tx, row)| {
            let Row::Part(part) = row else { return None };
            let forced = match part.stage {
                Stage::Promised(_) => None,
                Stage::Forced(commit) => Some(commit),
                Stage::Waiting | Stage::Objecting(_) => return None,
            };
            let Part { age, home, since, .. } = *part;
            Some(InDoubt { tx, age, group, home, since, forced })
        })
    }

    /// Whether nothing is held, waits, or has to be remembered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.rows.is_empty() && self.decisions.is_empty()
    }

    fn hear(&mut self, age: Age) {
        self.latest = self.latest.max(age);
    }

    // What does not span groups.

    /// Carries something out at once, if nobody has its keys or waits for them; or puts it in line for them.
    fn line_up(&mut self, now: Moment, keys: Vec<(Key, Mode)>, item: Item<A>) -> ReplyOf<A> {
        // Unique: it is named after its entry. As young as can be: it waits nowhere else, so nobody waits in a circle.
        let tx = TxId { coordinator: NodeId::default(), number: now.index.get() };
        if self.rows.contains_key(&tx) {
            // An image said that an entry to come had left it.
            return Reply::Full;
        }
        let age = self.latest.next();
        let is_free = !keys.iter().any(|(key, mode)| self.locks.is_wanted(key, *mode));
        if is_free && !matches!(item, Item::Look) {
            return self.carry_out(now, tx, &item);
        }
        if !self.rows.has_room(item.weight()) {
            return Reply::Full;
        }
        let Ok(acquired) = self.locks.acquire(tx, age, keys) else { return Reply::Full };
        self.hear(age);
        self.wound();
        let is_turn = acquired == Acquired::Granted;
        let due = now.time.after(if is_turn { LATE } else { TURN });
        self.rows.insert(tx, Row::Line { item, is_turn, due });
        self.due.insert((due, tx));
        Reply::Waits { tx, latest: self.latest }
    }

    fn carry_out(&mut self, now: Moment, tx: TxId, item: &Item<A>) -> ReplyOf<A> {
        match item {
            Item::Command(command) => Reply::Plain(self.application.apply(now, command)),
            Item::Work(work) => match self.application.prepare(now, tx, work) {
                Ok(gain) => {
                    self.application.finish(now, tx, work, true);
                    Reply::Gains(gain)
                }
                Err(objection) => Reply::Objects(objection),
            },
            Item::Look => Reply::Finished,
        }
    }

    fn plain(&mut self, now: Moment, command: &A::Command) -> ReplyOf<A> {
        if self.rows.is_empty() {
            return Reply::Plain(self.application.apply(now, command));
        }
        let keys = collect(|visit| A::command_keys(command, visit));
        self.line_up(now, keys, Item::Command(command.clone()))
    }

    fn once(&mut self, now: Moment, work: &A::Work) -> ReplyOf<A> {
        let keys = collect(|visit| A::keys(work, visit));
        self.line_up(now, keys, Item::Work(work.clone()))
    }

    /// It is the turn of what waited: it is carried out, and leaves.
    fn take_turn(&mut self, now: Moment, tx: TxId) -> ReplyOf<A> {
        match self.rows.remove(tx) {
            Some(Row::Line { item, is_turn: true, due }) => {
                self.due.remove(&(due, tx));
                let reply = self.carry_out(now, tx, &item);
                self.let_go(now, tx);
                reply
            }
            Some(row @ Row::Line { is_turn: false, .. }) => {
                self.rows.insert(tx, row);
                Reply::Waits { tx, latest: self.latest }
            }
            Some(row @ Row::Part(_)) => {
                self.rows.insert(tx, row);
                Reply::Unknown
            }
            None => Reply::Unknown,
        }
    }

    // What spans groups.

    fn prepare(&mut self, now: Moment, tx: TxId, mut part: Part<A>) -> ReplyOf<A> {
        self.hear(part.age);
        if let Some(row) = self.rows.get(&tx) {
            return match row {
                Row::Part(part) => self.standing(tx, &part.stage),
                Row::Line { .. } => Reply::Unknown,
            };
        }
        // Such names are given to what waits in line. And what is decided is promised no more.
        if tx.coordinator == NodeId::default() {
            return Reply::Unknown;
        }
        if let Some(decision) = self.decisions.get(&tx) {
            return Reply::Decided(Some(decision.is_to_do()));
        }
        if !self.rows.has_room(part.work.weight()) {
            return Reply::Full;
        }
        let keys = collect(|visit| A::keys(&part.work, visit));
        match self.locks.acquire(tx, part.age, keys) {
            Err(_) => return Reply::Full,
            Ok(Acquired::Waiting) => {
                // Who conducts it gives it up before.
                part.due = now.time.after(LIMIT + SLACK);
                self.wound();
            }
            Ok(Acquired::Granted) => match self.application.prepare(now, tx, &part.work) {
                Ok(gain) => part.stage = Stage::Promised(gain),
                Err(objection) => {
                    self.locks.release(tx);
                    return Reply::Objects(objection);
                }
            },
        }
        let reply = self.standing(tx, &part.stage);
        self.due.insert((part.due, tx));
        self.rows.insert(tx, Row::Part(part));
        reply
    }

    /// What a part was told, or would have been.
    fn standing(&self, tx: TxId, stage: &Stage<A::Gain, A::Objection>) -> ReplyOf<A> {
        match stage {
            Stage::Waiting => Reply::Waits { tx, latest: self.latest },
            Stage::Promised(gain) => Reply::Gains(gain.clone()),
            Stage::Objecting(objection) => Reply::Objects(objection.clone()),
            Stage::Forced(_) => Reply::Unknown,
        }
    }

    fn decide(&mut self, now: Moment, tx: TxId, groups: &[GroupId], until: Timestamp) -> ReplyOf<A> {
        if let Some(decision) = self.decisions.get(&tx) {
            return Reply::Decided(Some(decision.is_to_do()));
        }
        let is_promised = self
            .rows
            .get(&tx)
            .is_some_and(|row| matches!(row, Row::Part(Part { stage: Stage::Promised(_), .. })));
        if !is_promised {
            // It was given up, or settled, or done long ago.
            return Reply::Decided(None);
        }
        if now.time > until {
            return Reply::Decided(Some(false));
        }
        self.carry(now, tx, groups);
        Reply::Decided(Some(true))
    }

    /// All others have promised. What is decided here needs no promise: it is done, or not.
    fn commit(&mut self, now: Moment, tx: TxId, part: Part<A>, groups: &[GroupId]) -> ReplyOf<A> {
        if self.decisions.get(&tx).is_some_and(Decision::is_to_do) || self.rows.contains_key(&tx) {
            // It is asked once only: what it would gain is not known any more.
            return Reply::Unknown;
        }
        if now.time > part.until {
            return Reply::Decided(Some(false));
        }
        let reply = self.prepare(now, tx, part);
        if let Reply::Gains(_) = reply {
            self.carry(now, tx, groups);
        }
        reply
    }

    /// It is decided to be done, here and now.
    fn carry(&mut self, now: Moment, tx: TxId, groups: &[GroupId]) {
        self.finish(now, tx, true);
        if !groups.is_empty() {
            self.remember(tx, groups.to_vec(), now.time.after(LATE));
        }
    }

    fn remember(&mut self, tx: TxId, groups: Vec<GroupId>, due: Timestamp) {
        self.decisions.insert(tx, Decision { groups, due });
        self.due.insert((due, tx));
    }

    fn finish(&mut self, now: Moment, tx: TxId, commit: bool) {
        let Some(Row::Part(part)) = self.rows.get_mut(tx) else { return };
        match part.stage {
            Stage::Promised(_) => self.application.finish(now, tx, &part.work, commit),
            Stage::Forced(forced) if forced != commit => {
                self.news.push_back(Notice::Contradicted { tx, forced });
            }
            Stage::Waiting | Stage::Objecting(_) | Stage::Forced(_) => {}
        }
        self.due.remove(&(part.due, tx));
        self.rows.remove(tx);
        self.let_go(now, tx);
    }

    fn forget(&mut self, tx: TxId) {
        if let Some(decision) = self.decisions.get(&tx).filter(|decision| decision.is_to_do()) {
            self.due.remove(&(decision.due, tx));
            self.decisions.remove(&tx);
        }
    }

    fn resolve(&mut self, now: Moment, tx: TxId, until: Timestamp) -> ReplyOf<A> {
        // What waits in line is not decided.
        if tx.coordinator == NodeId::default() {
            return Reply::Unknown;
        }
        if let Some(decision) = self.decisions.get(&tx) {
            return Reply::Decided(Some(decision.is_to_do()));
        }
        // Presumed abort: it was not decided in time, and can be no more. Before that, nobody may decide it later.
        let over = until.after(Duration::from_micros(1));
        if now.time <= until {
            if self.decisions.len() >= TRANSACTIONS || over == until {
                return Reply::Undecided;
            }
            // First it lets go: the two may be due at the same time.
            self.finish(now, tx, false);
            self.remember(tx, Vec::new(), over);
        } else {
            self.finish(now, tx, false);
        }
        Reply::Decided(Some(false))
    }

    fn force(&mut self, now: Moment, tx: TxId, commit: bool) -> ReplyOf<A> {
        let Some(Row::Part(part)) = self.rows.get_mut(tx) else { return Reply::Unknown };
        let Stage::Promised(_) = part.stage else { return Reply::Unknown };
        self.application.finish(now, tx, &part.work, commit);
        part.stage = Stage::Forced(commit);
        self.let_go(now, tx);
        Reply::Decided(Some(commit))
    }

    // Who holds what.

    fn let_go(&mut self, now: Moment, tx: TxId) {
        self.locks.release(tx);
        // Not in this entry: it may have written what the next one writes.
        let next = now.time.after(Duration::from_micros(1));
        self.settles = self.settles.or(self.locks.has_news().then_some(next));
    }

    fn wound(&mut self) {
        while let Some(tx) = self.locks.next_wounded() {
            // What is in line for itself is carried out soon, and waits for nobody then.
            if let Some(Row::Part(_)) = self.rows.get(&tx) {
                self.news.push_back(Notice::Wounded(tx));
            }
        }
    }

    /// Sees to those whose turn it is.
    fn settle(&mut self, now: Moment) {
        self.settles = None;
        while let Some(tx) = self.locks.next_granted() {
            let due = match self.rows.get_mut(tx) {
                Some(Row::Line { is_turn, due, .. }) => {
                    *is_turn = true;
                    due
                }
                Some(Row::Part(Part { work, stage: stage @ Stage::Waiting, due, .. })) => {
                    match self.application.prepare(now, tx, work) {
                        Ok(gain) => *stage = Stage::Promised(gain),
                        Err(objection) => {
                            *stage = Stage::Objecting(objection);
                            self.locks.release(tx);
                        }
                    }
                    due
                }
                // An image said that it had its turn, and that nobody was told.
                Some(Row::Part(_)) => continue,
                None => {
                    self.locks.release(tx);
                    continue;
                }
            };
            // From now on others wait for it.
            self.due.remove(&(*due, tx));
            *due = now.time.after(LATE);
            self.due.insert((*due, tx));
            self.news.push_back(Notice::Turned(tx));
        }
        self.wound();
    }

    /// Whether it is a transaction's row or decision that is to be looked at then.
    fn is_due(&self, at: Timestamp, tx: TxId) -> bool {
        [self.rows.get(&tx).map(Row::due), self.decisions.get(&tx).map(|decision| decision.due)]
            .contains(&Some(at))
    }

    /// Looks at what takes too long. Each is looked at again later, until it is over.
    fn look(&mut self, now: Moment) {
        let mut all = Vec::new();
        while let Some(&(at, tx)) = self.due.first()
            && at <= now.time
        {
            self.due.pop_first();
            // What else is due by this name is over.
            if self.is_due(at, tx) {
                all.push((at, tx));
            }
        }
        // Each once: at the end of time, what is looked at again is due at once.
        for (at, tx) in all {
            let again = now.time.after(RETRY);
            match self.rows.get_mut(tx) {
                Some(Row::Part(part)) if part.due == at => {
                    let waited = now.time.since(part.since);
                    part.due = now.time.after((waited / 4).clamp(RETRY, RETRY_MOST));
                    let (home, until) = (part.home, part.until);
                    self.news.push_back(Notice::Overdue { tx, home, until });
                    self.due.insert((part.due, tx));
                }
                Some(Row::Line { due, .. }) if *due == at => {
                    // Whoever asked for it is gone, or was told long ago that nothing is known.
                    self.rows.remove(tx);
                    self.let_go(now, tx);
                }
                Some(_) | None => {}
            }
            if let Some(decision) = self.decisions.get_mut(&tx).filter(|decision| decision.due == at) {
                if !decision.is_to_do() {
                    // It is too late to decide it otherwise.
                    self.decisions.remove(&tx);
                    continue;
                }
                decision.due = again;
                self.news.push_back(Notice::Lingering { tx, groups: decision.groups.clone() });
                self.due.insert((again, tx));
            }
        }
    }
}

/// The keys that something visits, each once.
pub(super) fn collect(visit: impl FnOnce(&mut dyn FnMut(&[u8], Mode))) -> Vec<(Key, Mode)> {
    let mut keys: Vec<(Key, Mode)> = Vec::new();
    visit(&mut |key, mode| keys.push((Box::from(key), mode)));
    // The strictest first, and that is left.
    keys.sort_unstable_by(|(one, mode), (next, other)| (one, other).cmp(&(next, mode)));
    keys.dedup_by(|(next, _), (one, _)| one == next);
    keys
}

impl<A: Transactional<Query: Clone>> Application for Shard<A> {
    type Command = CommandOf<A>;
    type Reply = ReplyOf<A>;
    type Query = Query<A::Query>;
    type Answer = Answer<A::Answer, A::Query>;
    type Notice = NoticeOf<A>;

    fn tick(&mut self, now: Moment) {
        self.application.tick(now);
        self.look(now);
        // Each that is seen to may let go of what another waits for; that one's turn comes with the next entry.
        if self.settles.is_some_and(|at| at <= now.time) {
            self.settle(now);
        }
    }

    fn apply(&mut self, now: Moment, command: &CommandOf<A>) -> ReplyOf<A> {
        match command {
            Command::Plain(command) => self.plain(now, command),
            Command::Once(work) => self.once(now, work),
            Command::Look(keys) => {
                let keys = keys.iter().map(|key| (key.clone(), Mode::Shared)).collect();
                self.line_up(now, keys, Item::Look)
            }
            Command::Turn { tx } => self.take_turn(now, *tx),
            Command::Prepare { tx, age, home, until, work } => {
                let (age, home, until, due) = (*age, *home, *until, now.time.after(LATE));
                let (since, work, stage) = (now.time, work.clone(), Stage::Waiting);
                self.prepare(now, *tx, Part { age, home, until, since, due, work, stage })
            }
            Command::Decide { tx, groups, until } => self.decide(now, *tx, groups, *until),
            Command::Finish { tx, commit } => {
                self.finish(now, *tx, *commit);
                Reply::Finished
            }
            Command::Resolve { tx, until } => self.resolve(now, *tx, *until),
            Command::Forget(all) => {
                all.iter().for_each(|tx| self.forget(*tx));
                Reply::Finished
            }
            Command::Force { tx, commit } => self.force(now, *tx, *commit),
            Command::Commit { tx, age, home, until, work, groups } => {
                let (age, home, until, due) = (*age, *home, *until, now.time.after(LATE));
                let (since, work, stage) = (now.time, work.clone(), Stage::Waiting);
                self.commit(now, *tx, Part { age, home, until, since, due, work, stage }, groups)
            }
        }
    }

    fn notice(&mut self) -> Option<NoticeOf<A>> {
        self.news.pop_front().or_else(|| self.application.notice().map(Notice::Plain))
    }

    fn deadline(&self) -> Option<Timestamp> {
        let due = self.due.first().map(|(at, _)| *at);
        [self.application.deadline(), due, self.settles].into_iter().flatten().min()
    }

    fn query(&self, now: Timestamp, query: &Query<A::Query>) -> Answer<A::Answer, A::Query> {
        let query = match query {
            Query::Plain(query) => query,
            // Its keys are its own: nobody changes them meanwhile.
            Query::InTurn(query, tx)
                if matches!(self.rows.get(tx), Some(Row::Line { item: Item::Look, is_turn: true, .. })) =>
            {
                return Answer::Plain(self.application.query(now, query));
            }
            Query::InTurn(query, _) => query,
        };
        if !self.rows.is_empty() {
            let mut is_blocked = false;
            A::query_keys(query, &mut |key, mode| is_blocked |= self.locks.conflicts(key, mode));
            if is_blocked {
                let keys = collect(|visit| A::query_keys(query, visit));
                return Answer::Blocked(query.clone(), keys.into_iter().map(|(key, _)| key).collect());
            }
        }
        Answer::Plain(self.application.query(now, query))
    }

    fn snapshot(&self, sink: &mut dyn Sink) -> Result<(), Full> {
        image::put(self, sink)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        *self = image::take(bytes)?;
        Ok(())
    }
}
