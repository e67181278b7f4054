//! What is taken apart by group and put together comes to the same as what is left whole.

use super::*;
use crate::sharded::Transactional;
use crate::{GroupId, NodeId, TxId};

const GROUPS: u64 = 3;

fn place(key: &[u8]) -> GroupId {
    GroupId::new(u64::from(key.first().copied().unwrap_or_default()) % GROUPS)
}

fn keys(names: &[&str]) -> Vec<Blob> {
    names.iter().map(|&name| name.into()).collect()
}

/// The groups of the parts, with their steps, or the refusal.
fn parts(command: Command) -> Result<Vec<(u64, Part)>, Refused> {
    command.split(place).map(|split| match split {
        Split::Whole(..) => vec![],
        Split::Parts(parts, _) => parts.into_iter().map(|(group, part)| (group.get(), part)).collect(),
    })
}

fn transaction(steps: Vec<Step>) -> Command {
    Command::Transaction(Transaction { watched: vec![], steps })
}

fn take(names: &[&str]) -> Change {
    Change::CreateAll { keys: keys(names), value: "one".into(), millis: 5 }
}

#[test]
fn what_has_its_keys_in_one_group_stays_whole() {
    let home = |command: Command| match command.split(place) {
        Ok(Split::Whole(group, _)) => Some(group.get()),
        Ok(Split::Parts(..)) | Err(_) => None,
    };
    assert_eq!(home(Command::Change(set("b", ""))), Some(2));
    assert_eq!(home(Command::Change(take(&["b", "b2"]))), Some(2));
    assert_eq!(home(transaction(vec![set("b", "").into(), take(&["b2"]).into()])), Some(2));
    assert_eq!(home(Command::Change(Change::Delete { keys: vec![] })), Some(0));
    assert_eq!(home(Command::Change(take(&["b", "c"]))), None);
    assert!(matches!(Query::Stats.split(place), Split::Whole(..)));
}

#[test]
fn each_group_gets_what_has_to_do_with_its_keys() {
    let watched = vec![("a".into(), None), ("b".into(), Some(Index::new(4)))];
    let all = Query::GetAll { keys: keys(&["b", "a", "b2"]) };
    let nothing: Step = Change::Delete { keys: vec![] }.into();
    let steps = vec![set("a", "1").into(), nothing.clone(), all.into(), take(&["b", "b2"]).into()];
    let parts = parts(Command::Transaction(Transaction { watched, steps })).expect("it can be taken apart");
    let part = |watched, steps| Part { transaction: Transaction { watched, steps }, all_met: false };
    let get = |names| Query::GetAll { keys: keys(names) }.into();
    let first = part(vec![("a".into(), None)], vec![set("a", "1").into(), nothing, get(&["a"])]);
    let created = vec![get(&["b", "b2"]), take(&["b", "b2"]).into()];
    let second = part(vec![("b".into(), Some(Index::new(4)))], created);
    assert_eq!(parts, [(1, first), (2, second)]);
}

#[test]
fn what_depends_on_all_its_keys_is_done_in_all_groups_or_in_none_and_only_by_itself() {
    let extend = Change::CompareExpire {
        keys: keys(&["a", "b"]),
        value: "one".into(),
        millis: 5,
        extension: Extension::Replace,
    };
    for change in [take(&["a", "b"]), extend] {
        let alone = parts(Command::Change(change.clone())).expect("it can be taken apart");
        assert_eq!(alone.iter().map(|(_, part)| part.all_met).collect::<Vec<_>>(), [true, true]);
        assert_eq!(parts(transaction(vec![change.into()])), Err(Refused::Spans));
    }
    assert_eq!(parts(transaction(vec![Query::Stats.into(), set("a", "").into()])), Err(Refused::Spans));
    let values = Change::SetAll { items: vec![("a".into(), "".into()), ("b".into(), "".into())] };
    let several = parts(transaction(vec![values.into()])).expect("it can be taken apart");
    assert!(several.iter().all(|(_, part)| !part.all_met));
}

#[test]
fn what_parts_cannot_have_gained_is_not_put_together() {
    let merge = || match (Query::GetAll { keys: keys(&["a", "b"]) }).split(place) {
        Split::Parts(_, merge) => merge,
        Split::Whole(..) => panic!("there are keys of two groups"),
    };
    let values = |count| vec![Answer::Values(vec![None; count])];
    assert_eq!(
        merge().committed(vec![values(1), values(1)]),
        Some(Reply::Answer(Answer::Values(vec![None; 2])))
    );
    for odd in [
        vec![],
        vec![values(1)],
        vec![values(1), vec![]],
        vec![values(1), values(0)],
        vec![values(1), vec![Answer::Done]],
        vec![vec![Answer::Done], vec![Answer::Unmet]],
    ] {
        assert_eq!(merge().committed(odd.clone()), None, "{odd:?}");
    }
}

#[test]
fn what_a_group_refuses_is_refused() {
    let refused = Answer::Refused(Refused::AnswerTooLarge);
    let values = Answer::Values(vec![None]);
    for gains in [[refused.clone(), values.clone()], [values, refused.clone()]] {
        let Split::Parts(_, merge) = (Query::GetAll { keys: keys(&["a", "b"]) }).split(place) else {
            panic!("there are keys of two groups");
        };
        let gains = gains.into_iter().map(|answer| vec![answer]).collect();
        assert_eq!(merge.committed(gains), Some(Reply::Answer(refused.clone())));
    }
}

#[test]
fn what_is_put_together_is_bounded() {
    let Split::Parts(_, merge) = (Query::GetAll { keys: keys(&["a", "b"]) }).split(place) else {
        panic!("there are keys of two groups");
    };
    let value = |bytes: usize| vec![Answer::Values(vec![Some(Blob::from(vec![0; bytes]))])];
    let most = merge.clone().committed(vec![value(ANSWER_BYTES - 1), value(1)]);
    assert!(matches!(most, Some(Reply::Answer(Answer::Values(_)))));
    let more = merge.committed(vec![value(ANSWER_BYTES), value(1)]);
    assert_eq!(more, Some(Reply::Answer(Answer::Refused(Refused::AnswerTooLarge))));
}

#[test]
fn an_objection_is_what_the_whole_would_have_answered() {
    let Ok(Split::Parts(_, merge)) = Command::Change(take(&["a", "b"])).split(place) else {
        panic!("there are keys of two groups");
    };
    let aborted = |objection| merge.clone().aborted(objection);
    let zero = Answer::Integer(0);
    assert_eq!(aborted(Objection::Unmet(zero.clone())), Reply::Answer(zero));
    assert_eq!(aborted(Objection::Conflict), Reply::Conflict);
    let full = Answer::Refused(Refused::Full);
    assert_eq!(aborted(Objection::Refused(Refused::Full)), Reply::Answer(full));
}

/// Keyspaces by group.
struct Groups([Keyspace; GROUPS as usize]);

impl Groups {
    fn of(&mut self, group: GroupId) -> &mut Keyspace {
        &mut self.0[group.get() as usize]
    }

    /// Carries parts out: all, or none if one objects.
    fn transact(&mut self, now: Moment, parts: &[(GroupId, Part)]) -> Result<Vec<Vec<Answer>>, Objection> {
        let tx = TxId { coordinator: NodeId::new(1), number: now.index.get() };
        let prepared = parts.iter().map(|(group, part)| self.of(*group).prepare(now, tx, part));
        let gains: Result<Vec<_>, _> = prepared.collect();
        for (group, part) in parts {
            self.of(*group).finish(now, tx, part, gains.is_ok());
        }
        gains
    }

    fn apply(&mut self, now: Moment, command: Command) -> Result<Reply, Refused> {
        Ok(match command.split(place)? {
            Split::Whole(group, command) => self.of(group).apply(now, &command),
            Split::Parts(parts, merge) => match self.transact(now, &parts) {
                Ok(gains) => merge.committed(gains).expect("they are of these parts"),
                Err(objection) => merge.aborted(objection),
            },
        })
    }

    fn query(&mut self, now: Moment, query: Query) -> Reply {
        match query.split(place) {
            Split::Whole(group, query) => Reply::Answer(self.of(group).query(now.time, &query)),
            Split::Parts(parts, merge) => {
                let gains = self.transact(now, &parts).expect("nothing is in its way");
                merge.committed(gains).expect("they are of these parts")
            }
        }
    }
}

quickcheck! {
    fn what_is_taken_apart_comes_to_the_same(entries: Vec<(u8, Command, Query)>) -> bool {
        let (mut whole, mut groups): (Keyspace, _) = (Keyspace::default(), Groups(Default::default()));
        let mut micros = 0;
        entries.into_iter().zip(1..).all(|((passed, command, query), index)| {
            micros += u64::from(passed) * 50;
            let now = Moment { index: Index::new(index), time: Timestamp::from_micros(micros) };
            whole.tick(now);
            groups.0.iter_mut().for_each(|group| group.tick(now));
            // What cannot be taken apart is done nowhere.
            let same = match groups.apply(now, command.clone()) {
                Ok(reply) => reply == whole.apply(now, &command),
                Err(refused) => refused == Refused::Spans && matches!(command, Command::Transaction(_)),
            };
            let looked = query == Query::Stats
                || groups.query(now, query.clone()) == Reply::Answer(whole.query(now.time, &query));
            let keys = ["a", "b", "c", "", "lock"].map(Blob::from).into_iter();
            let ask = keys.flat_map(|key| {
                [Query::Get { key: key.clone() }, Query::Revision { key: key.clone() }, Query::Fence { key: key.clone() }, Query::Remaining { key }]
            });
            same && looked && ask.into_iter().all(|query| {
                groups.query(now, query.clone()) == Reply::Answer(whole.query(now.time, &query))
            })
        })
    }
}
