//! Conducting: what a node does over several entries so that each transaction ends, its own and those of nodes that are gone.

use super::command::{Answer, Command, Notice, Query, Reply, weight_of_commit};
use super::shard::{NoticeOf, ReplyOf};
use super::task::{Name, Part, Span, Stage, Step, Task, What};
use super::{
    CONDUCTED, Failure, LIMIT, Outcome, PARTS, Reason, SLACK, Shard, Sharded, TURN, Ticket, Transactional,
};
use crate::raft::Role;
use crate::{Age, GroupId, Instant, Machine, Moment, Space, TxId, groups, replicated};
use alloc::vec::Vec;
use core::time::Duration;

/// When to look again at what waits, should a notice of it have been lost.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How many transactions are forgotten in one entry.
pub(super) const FORGOTTEN: usize = 64;

type Parts<A> = Vec<(GroupId, <A as Transactional>::Work)>;

impl<A, S, const SESSIONS: usize, const REPLIES: usize> Sharded<A, S, SESSIONS, REPLIES>
where
    A: Transactional<Query: Clone>,
    S: Space,
{
    // What is asked.

    pub(super) fn transact(&mut self, parts: Parts<A>) -> Result<Ticket, (Parts<A>, Reason)> {
        if let Some(reason) = self.refuse(&parts) {
            return Err((parts, reason));
        }
        if parts.len() > 1 {
            let ticket = Ticket::Many(self.tasks_ever + 1);
            let heard = parts.iter().filter_map(|(group, _)| self.groups.get(*group));
            let heard = heard.map(|group| group.application().latest).max().unwrap_or_default();
            self.latest = self.latest.max(heard);
            let age = self.latest.next();
            self.begin(ticket, age, self.now, parts);
            return Ok(ticket);
        }
        let Some((group, work)) = parts.into_iter().next() else { unreachable!("none was refused") };
        self.pass(group, replicated::Request::Command(Command::Once(work))).map_err(|(request, reason)| {
            let replicated::Request::Command(Command::Once(work)) = request else {
                unreachable!("it was handed back")
            };
            (Vec::from([(group, work)]), reason)
        })
    }

    pub(super) fn refuse(&self, parts: &[(GroupId, A::Work)]) -> Option<Reason> {
        if parts.is_empty() {
            return Some(Reason::Empty);
        }
        if parts.len() > PARTS {
            return Some(Reason::TooMany { limit: PARTS });
        }
        let twice = |(at, (group, _)): (usize, &(GroupId, A::Work))| {
            parts.iter().skip(at + 1).any(|(other, _)| other == group).then_some(Reason::Twice(*group))
        };
        let unfit = |(group, work): &(GroupId, A::Work)| {
            let Some(machine) = self.groups.get(*group) else { return Some(Reason::NotHosted(*group)) };
            // Any of them may be the one that it is decided with.
            let (limit, more) = (machine.limit(), weight_of_commit(parts.len()));
            let limit_of_work = limit.saturating_sub(more);
            (crate::Command::weight(work) + more > limit).then_some(Reason::TooLarge { limit: limit_of_work })
        };
        let unfit = parts.iter().enumerate().find_map(twice).or_else(|| parts.iter().find_map(unfit));
        unfit.or((parts.len() > 1 && self.conducted >= CONDUCTED).then_some(Reason::Busy))
    }

    /// Where a transaction is decided: where that takes no way to another node, if there is such a group.
    pub(super) fn home(&self, parts: &[(GroupId, A::Work)]) -> Option<GroupId> {
        let is_led = |group: &GroupId| {
            self.groups.get(*group).is_some_and(|machine| machine.status().role == Role::Leader)
        };
        let mut groups = parts.iter().map(|(group, _)| *group);
        groups.clone().find(is_led).or_else(|| groups.next())
    }

    /// Begins a transaction, or begins it again.
    pub(super) fn begin(&mut self, ticket: Ticket, age: Age, begun: Instant, parts: Parts<A>) {
        self.latest = self.latest.max(age);
        let tx = TxId { coordinator: self.id, number: self.rng.next() };
        let Some(home) = self.home(&parts) else { return };
        let until = self.groups.get(home).map(replicated::Replicated::time).unwrap_or_default();
        let parts = parts.into_iter().map(|(group, work)| Part {
            group,
            work,
            gain: None,
            is_asked: false,
            is_turn: false,
            is_open: true,
        });
        let parts: Vec<_> = parts.collect();
        let count = parts.len();
        let (until, stage) = (until.after(LIMIT + SLACK), Stage::Preparing);
        let span = Span { ticket: Some(ticket), tx, age, home, until, parts, stage, is_wounded: false };
        let own = span.own_at();
        let task = self.task(What::Span(span), begun);
        self.conducted += 1;
        self.name(task, (None, tx));
        // The home is the last: it need not promise what it decides.
        (0..count).filter(|&part| part != own).for_each(|part| self.take(task, Step::Prepare(part)));
    }

    pub(super) fn task(&mut self, what: What<A>, begun: Instant) -> u64 {
        self.tasks_ever += 1;
        let task = self.tasks_ever;
        let (again, name, under_way, timer) = (Vec::new(), None, 0, None);
        self.tasks.insert(task, Task { what, begun, again, name, under_way, timer });
        self.arm(task, LOOK);
        task
    }

    /// From now on a task is found by this name.
    pub(super) fn name(&mut self, task: u64, name: Name) {
        if let Some(of) = self.tasks.get_mut(&task) {
            of.name = Some(name);
            self.by_name.insert(name, task);
        }
    }

    // Steps.

    /// Takes a step, now or as soon as the group has room; unless there is no point in it any more.
    pub(super) fn take(&mut self, task: u64, step: Step) {
        let Some((group, request)) = self.entry(task, step) else { return };
        match self.groups.request(self.now, groups::Request { group, request }) {
            Ok(ticket) => {
                self.steps.insert(ticket, (task, step));
                self.set_asked(task, step, true);
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.under_way += 1;
                }
            }
            Err(groups::Refusal::InGroup { refusal, .. }) => self.on_refused(task, step, refusal.reason),
            Err(groups::Refusal::NotHosted(_)) => self.put_off(task, step),
        }
    }

    /// A group did not take a step up. Only what waits for room can be taken later.
    pub(super) fn on_refused(&mut self, task: u64, step: Step, reason: replicated::Reason) {
        match (self.tasks.get_mut(&task).map(|task| &mut task.what), reason) {
            (Some(what @ &mut What::Look { ticket, .. }), replicated::Reason::TooLarge { .. }) => {
                *what = What::Over;
                self.tell(ticket, Outcome::Failed(Failure::Full));
            }
            _ => self.put_off(task, step),
        }
    }

    /// Notes whether a part is being asked for its promise.
    pub(super) fn set_asked(&mut self, task: u64, step: Step, is_asked: bool) {
        let Some(span) = self.span(task) else { return };
        let part = match step {
            Step::Prepare(at) => span.parts.get_mut(at),
            Step::Commit => span.own(),
            _ => None,
        };
        if let Some(part) = part {
            part.is_asked = is_asked;
        }
    }

    pub(super) fn put_off(&mut self, task: u64, step: Step) {
        let Some(of) = self.tasks.get_mut(&task) else { return };
        self.counters.put_off += 1;
        if !of.again.contains(&step) {
            of.again.push(step);
        }
        self.arm(task, LOOK / 10);
    }

    /// What a step asks of which group.
    pub(super) fn entry(&self, task: u64, step: Step) -> Option<(GroupId, replicated::Request<Shard<A>>)> {
        use replicated::Request::{Command as Commanded, Query as Queried};
        Some(match (&self.tasks.get(&task)?.what, step) {
            (What::Span(span), Step::Prepare(part)) if span.stage == Stage::Preparing => {
                let &Span { tx, age, home, until, .. } = span;
                let part = span.parts.get(part).filter(|part| part.gain.is_none() && !part.is_asked)?;
                let work = part.work.clone();
                (part.group, Commanded(Command::Prepare { tx, age, home, until, work }))
            }
            (What::Span(span), Step::Commit) if span.stage == Stage::Deciding => {
                let &Span { tx, age, home, until, .. } = span;
                let (work, groups) = (span.parts.get(span.own_at())?.work.clone(), span.groups());
                (home, Commanded(Command::Commit { tx, age, home, until, work, groups }))
            }
            (What::Span(span), Step::Decide) if span.stage == Stage::Deciding => {
                let groups = span.groups();
                (span.home, Commanded(Command::Decide { tx: span.tx, groups, until: span.until }))
            }
            (What::Span(span), Step::Finish(group)) => {
                let Stage::Ending { commit, .. } = span.stage else { return None };
                (group, Commanded(Command::Finish { tx: span.tx, commit }))
            }
            (&What::Line { group, tx, .. }, Step::Turn) => (group, Commanded(Command::Turn { tx })),
            (What::Look { group, tx: None, keys, .. }, Step::Look) => {
                (*group, Commanded(Command::Look(keys.clone())))
            }
            (What::Look { group, tx: Some(tx), query, .. }, Step::Query) => {
                (*group, Queried(Query::InTurn(query.clone(), *tx)))
            }
            (&What::Rescue { home, tx, until, commit: None, .. }, Step::Resolve) => {
                (home, Commanded(Command::Resolve { tx, until }))
            }
            (&What::Rescue { tx, commit: Some(commit), .. }, Step::Finish(group)) => {
                (group, Commanded(Command::Finish { tx, commit }))
            }
            (&What::Sweep { tx, .. }, Step::Finish(group)) => {
                (group, Commanded(Command::Finish { tx, commit: true }))
            }
            (What::Forget { home, all }, Step::Forget) => (*home, Commanded(Command::Forget(all.clone()))),
            // What it was for is over.
            _ => return None,
        })
    }

    /// A request to a group ended: a step's, or one that was passed on as it was.
    pub(super) fn on_ended(
        &mut self,
        group: GroupId,
        ticket: replicated::Ticket,
        outcome: replicated::Outcome<Shard<A>>,
    ) {
        let Some((task, step)) = self.steps.remove(&(group, ticket)) else {
            return self.on_passed(group, Ticket::One(group, ticket), outcome);
        };
        if let Some(task) = self.tasks.get_mut(&task) {
            task.under_way -= 1;
        }
        self.set_asked(task, step, false);
        match outcome {
            replicated::Outcome::Replied { reply, at } => self.on_reply(task, step, reply, at),
            replicated::Outcome::Answered(answer) => self.on_answer(task, answer),
            replicated::Outcome::Failed(_) | replicated::Outcome::Opened(_) | replicated::Outcome::Closed => {
                self.on_nothing(task, step)
            }
        }
        self.tidy(task);
    }

    /// What concerns one group only ended, unless it has to wait.
    pub(super) fn on_passed(
        &mut self,
        group: GroupId,
        ticket: Ticket,
        outcome: replicated::Outcome<Shard<A>>,
    ) {
        match outcome {
            replicated::Outcome::Replied { reply: Reply::Waits { tx, latest }, .. } => {
                self.latest = self.latest.max(latest);
                self.counters.lined_up += 1;
                self.waiting.insert(ticket);
                let task = self.task(What::Line { ticket: Some(ticket), group, tx }, self.now);
                self.name(task, (Some(group), tx));
            }
            replicated::Outcome::Replied { reply: Reply::Decided(forced), .. } => {
                self.tell(ticket, Outcome::Forced(forced));
            }
            replicated::Outcome::Replied { reply: Reply::Unknown, .. } => {
                self.tell(ticket, Outcome::Forced(None));
            }
            replicated::Outcome::Replied { reply, at } => self.tell_reply(ticket, group, reply, at),
            replicated::Outcome::Answered(Answer::Plain(answer)) => {
                self.tell(ticket, Outcome::Answered(answer));
            }
            replicated::Outcome::Answered(Answer::Blocked(query, keys)) => {
                self.counters.looked += 1;
                self.waiting.insert(ticket);
                let task = self.task(What::Look { ticket, group, tx: None, query, keys }, self.now);
                self.take(task, Step::Look);
            }
            replicated::Outcome::Failed(_) | replicated::Outcome::Opened(_) | replicated::Outcome::Closed => {
                self.tell(ticket, Outcome::Failed(Failure::Unconfirmed))
            }
        }
    }

    /// What came of something of one group.
    pub(super) fn tell_reply(&mut self, ticket: Ticket, group: GroupId, reply: ReplyOf<A>, at: Moment) {
        let outcome = match reply {
            Reply::Plain(reply) => Outcome::Replied { reply, at },
            Reply::Gains(gain) => Outcome::Committed { gains: Vec::from([gain]) },
            Reply::Objects(objection) => Outcome::Aborted { group, objection },
            Reply::Full => Outcome::Failed(Failure::Full),
            // It lost its place in line before its turn came.
            Reply::Unknown => {
                self.counters.lost_turns += 1;
                Outcome::Failed(Failure::TimedOut)
            }
            Reply::Waits { .. } | Reply::Decided(_) | Reply::Undecided | Reply::Finished => {
                Outcome::Failed(Failure::Unconfirmed)
            }
        };
        self.tell(ticket, outcome);
    }

    pub(super) fn on_reply(&mut self, task: u64, step: Step, reply: ReplyOf<A>, at: Moment) {
        if let Reply::Waits { latest, .. } = &reply {
            self.latest = self.latest.max(*latest);
        }
        let Some(of) = self.tasks.get_mut(&task) else { return };
        match (&mut of.what, step) {
            (What::Line { ticket, group, .. }, Step::Turn) => {
                // It is looked at again, if it was too early.
                if matches!(reply, Reply::Waits { .. }) {
                    return;
                }
                let (ticket, group) = (ticket.take(), *group);
                of.what = What::Over;
                if let Some(ticket) = ticket {
                    self.tell_reply(ticket, group, reply, at);
                }
            }
            (What::Look { ticket, group, tx, .. }, Step::Look) => {
                let (ticket, group) = (*ticket, *group);
                if let Reply::Waits { tx: name, .. } = reply {
                    *tx = Some(name);
                    self.name(task, (Some(group), name));
                    self.take(task, Step::Query);
                } else {
                    of.what = What::Over;
                    self.tell_reply(ticket, group, reply, at);
                }
            }
            (What::Span(_), Step::Prepare(part)) => self.on_prepared(task, part, reply),
            (What::Span(_), Step::Commit) => self.on_committed(task, reply),
            (What::Span(_), Step::Decide) => self.on_decided(task, &reply),
            (What::Span(span), Step::Finish(group)) => {
                span.parts
                    .iter_mut()
                    .filter(|part| part.group == group)
                    .for_each(|part| part.is_open = false);
                self.end_if_finished(task);
            }
            (What::Rescue { group, commit, .. }, Step::Resolve) => match reply {
                Reply::Decided(Some(decided)) => {
                    *commit = Some(decided);
                    let group = *group;
                    let count =
                        if decided { &mut self.counters.rescued } else { &mut self.counters.presumed };
                    *count += 1;
                    self.take(task, Step::Finish(group));
                }
                _ => {
                    self.counters.undecided += 1;
                    of.what = What::Over;
                }
            },
            (What::Sweep { home, tx, open }, Step::Finish(group)) => {
                open.retain(|other| *other != group);
                if open.is_empty() {
                    let (home, tx) = (*home, *tx);
                    of.what = What::Over;
                    self.forget(home, tx);
                }
            }
            (What::Rescue { .. }, Step::Finish(_)) | (What::Forget { .. }, Step::Forget) => {
                of.what = What::Over;
            }
            _ => {}
        }
    }

    pub(super) fn on_answer(&mut self, task: u64, answer: Answer<A::Answer, A::Query>) {
        let Some(of) = self.tasks.get_mut(&task) else { return };
        // Of one that is still blocked, the turn comes later.
        if let (&What::Look { ticket, group, tx: Some(tx), .. }, Answer::Plain(answer)) = (&of.what, answer) {
            of.what = What::Line { ticket: None, group, tx };
            self.tell(ticket, Outcome::Answered(answer));
            self.take(task, Step::Turn);
        }
    }

    /// No quorum confirmed a step: it may have been taken or not. All but two kinds may be taken twice.
    pub(super) fn on_nothing(&mut self, task: u64, step: Step) {
        let Some(of) = self.tasks.get_mut(&task) else { return };
        match (&mut of.what, step) {
            (&mut What::Line { ticket: Some(ticket), .. }, Step::Turn) => {
                of.what = What::Over;
                self.tell(ticket, Outcome::Failed(Failure::Unconfirmed));
            }
            (What::Span(_), Step::Commit) => {
                // What it would gain cannot be learnt any more; how it ends can.
                self.end_span(task, Outcome::Failed(Failure::Unconfirmed));
                self.take(task, Step::Decide);
            }
            (&mut What::Look { ticket, .. }, Step::Look | Step::Query) => {
                // Its place in line, if it has one, is given up in time.
                of.what = What::Over;
                self.tell(ticket, Outcome::Failed(Failure::Unconfirmed));
            }
            _ => self.put_off(task, step),
        }
    }

    // What groups tell of their own accord.

    pub(super) fn on_notice(&mut self, group: GroupId, notice: NoticeOf<A>) {
        match notice {
            Notice::Turned(tx) => self.on_turned(group, tx),
            Notice::Wounded(tx) => self.on_wounded(tx),
            Notice::Overdue { tx, home, until } => {
                if self.sees_to(group, tx) && self.groups.get(home).is_some() {
                    let rescue = What::Rescue { group, home, tx, until, commit: None };
                    let task = self.task(rescue, self.now);
                    self.counters.resolved += 1;
                    self.name(task, (Some(group), tx));
                    self.take(task, Step::Resolve);
                }
            }
            Notice::Lingering { tx, mut groups } => {
                if self.sees_to(group, tx) {
                    groups.retain(|other| *other != group && self.groups.get(*other).is_some());
                    if groups.is_empty() {
                        return self.forget(group, tx);
                    }
                    let task = self.task(What::Sweep { home: group, tx, open: groups.clone() }, self.now);
                    self.counters.swept += 1;
                    self.name(task, (Some(group), tx));
                    groups.into_iter().for_each(|other| self.take(task, Step::Finish(other)));
                }
            }
            Notice::Plain(_) | Notice::Contradicted { .. } => {}
        }
    }

    /// Whether this node is the one to end what nobody seems to: it leads the group, and is not at it already.
    pub(super) fn sees_to(&self, group: GroupId, tx: TxId) -> bool {
        let leads = self.groups.get(group).is_some_and(|machine| machine.status().role == Role::Leader);
        let is_known =
            self.by_name.contains_key(&(None, tx)) || self.by_name.contains_key(&(Some(group), tx));
        leads && !is_known
    }

    pub(super) fn on_turned(&mut self, group: GroupId, tx: TxId) {
        let names = [(Some(group), tx), (None, tx)];
        let Some(&task) = names.iter().find_map(|name| self.by_name.get(name)) else { return };
        match self.tasks.get(&task).map(|task| &task.what) {
            Some(What::Line { .. }) => self.take(task, Step::Turn),
            Some(What::Look { .. }) => self.take(task, Step::Query),
            Some(What::Span(span)) => {
                if let Some(part) = span.parts.iter().position(|part| part.group == group) {
                    self.on_part_turned(task, part);
                }
            }
            Some(What::Rescue { .. } | What::Sweep { .. } | What::Forget { .. } | What::Over) | None => {}
        }
    }

    pub(super) fn on_part_turned(&mut self, task: u64, at: usize) {
        let Some(part) = self.span(task).and_then(|span| span.parts.get_mut(at)) else { return };
        part.is_turn = part.is_asked;
        self.take(task, Step::Prepare(at));
    }

    // Time.

    pub(super) fn arm(&mut self, task: u64, after: Duration) {
        let at = self.now.after(after);
        let Some(of) = self.tasks.get_mut(&task) else { return };
        if of.timer.is_some_and(|timer| timer <= at) {
            return;
        }
        if let Some(timer) = of.timer.replace(at) {
            self.timers.remove(&(timer, task));
        }
        self.timers.insert((at, task));
    }

    pub(super) fn on_timers(&mut self) {
        while let Some(&(at, task)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            self.on_timer(task);
        }
        if self.forgetting.is_some_and(|at| at <= self.now) {
            self.forgetting = None;
            let homes: Vec<_> = self.over.keys().copied().collect();
            homes.into_iter().for_each(|home| self.forget_at(home));
        }
    }

    pub(super) fn on_timer(&mut self, task: u64) {
        self.give_up(task);
        let Some(of) = self.tasks.get_mut(&task) else { return };
        of.timer = None;
        let (again, begun) = (core::mem::take(&mut of.again), of.begun);
        let is_idle = of.under_way == 0 && again.is_empty();
        again.into_iter().for_each(|step| self.take(task, step));
        let Some(of) = self.tasks.get_mut(&task) else { return };
        let is_late = |span| begun.after(span) <= self.now;
        match &mut of.what {
            What::Line { .. } if is_idle => self.take(task, Step::Turn),
            &mut What::Look { ticket, group, tx: Some(tx), .. } if is_late(TURN) => {
                of.what = What::Line { ticket: None, group, tx };
                self.tell(ticket, Outcome::Failed(Failure::TimedOut));
                self.take(task, Step::Turn);
            }
            What::Look { .. } if is_idle => self.take(task, Step::Query),
            What::Span(span) => match span.stage {
                Stage::Preparing if is_late(LIMIT) => {
                    self.end_span(task, Outcome::Failed(Failure::TimedOut));
                    self.finish(task, false, false);
                }
                Stage::Preparing if is_idle => {
                    // The home waits only if all others have promised.
                    let (home, is_promised) = (span.home, span.is_promised());
                    let waits = |part: &Part<A>| part.gain.is_none() && (is_promised || part.group != home);
                    let parts = span.parts.iter().enumerate();
                    let waiting: Vec<_> = parts.filter(|(_, part)| waits(part)).map(|(at, _)| at).collect();
                    waiting.into_iter().for_each(|part| self.take(task, Step::Prepare(part)));
                }
                Stage::Deciding if is_late(TURN) => {
                    self.end_span(task, Outcome::Failed(Failure::Unconfirmed));
                }
                Stage::Preparing | Stage::Deciding | Stage::Ending { .. } => {}
            },
            What::Line { .. }
            | What::Look { .. }
            | What::Rescue { .. }
            | What::Sweep { .. }
            | What::Forget { .. }
            | What::Over => {}
        }
        self.arm(task, if is_idle { 5 * LOOK } else { LOOK });
        self.tidy(task);
    }

    /// What has waited in line, or for room to, until its place is lost: nothing was done, nor will be.
    pub(super) fn give_up(&mut self, task: u64) {
        let is_late = |of: &&mut Task<A>| of.under_way == 0 && of.begun.after(TURN) <= self.now;
        let Some(of) = self.tasks.get_mut(&task).filter(is_late) else { return };
        let ticket = match of.what {
            What::Line { ticket, .. } => ticket,
            What::Look { ticket, tx: None, .. } => Some(ticket),
            What::Look { .. }
            | What::Span(_)
            | What::Rescue { .. }
            | What::Sweep { .. }
            | What::Forget { .. }
            | What::Over => return,
        };
        of.what = What::Over;
        if let Some(ticket) = ticket {
            self.counters.lost_turns += 1;
            self.tell(ticket, Outcome::Failed(Failure::TimedOut));
        }
    }

    /// Lets go of a task that is over.
    pub(super) fn tidy(&mut self, task: u64) {
        let Some(of) = self.tasks.get(&task) else { return };
        if of.under_way > 0 || !matches!(of.what, What::Over) {
            return;
        }
        if let Some(timer) = of.timer {
            self.timers.remove(&(timer, task));
        }
        if let Some(name) = of.name {
            self.by_name.remove(&name);
        }
        self.tasks.remove(&task);
    }

    pub(super) fn tell(&mut self, ticket: Ticket, outcome: Outcome<A>) {
        self.waiting.remove(&ticket);
        self.ended.push_back((ticket, outcome));
    }
}
