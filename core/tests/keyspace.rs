//! What the commands that programs send all the time cost.

use quorate::keyspace::{Change, Command, Condition, Expiry, Keyspace, Query, Split};
use quorate::{Application, GroupId, Index, Moment, Timestamp};

const ROUNDS: u64 = 100;

fn set(key: &str) -> Command {
    let (condition, expiry) = (Condition::Always, Expiry::Never);
    Command::Change(Change::Set { key: key.into(), value: "v".into(), condition, expiry, previous: false })
}

fn get(key: &str) -> Query {
    Query::Get { key: key.into() }
}

fn place(key: &[u8]) -> GroupId {
    GroupId::new(key.len() as u64)
}

#[test]
fn to_set_over_a_value_and_to_get_it_allocates_nothing() {
    let mut keyspace: Keyspace = Keyspace::default();
    let (set, get) = (set("key"), get("key"));
    let mut work = |rounds| {
        for index in rounds {
            let now = Moment { index: Index::new(index), time: Timestamp::default() };
            keyspace.tick(now);
            keyspace.apply(now, &set);
            keyspace.query(now.time, &get);
        }
    };
    work(1..2);
    assert_eq!(allocation_counter::measure(|| work(2..ROUNDS)).count_total, 0);
}

#[test]
fn to_see_that_something_is_of_one_group_allocates_nothing() {
    let keys = ["a", "b", "c"].map(Into::into).to_vec();
    let commands = [set("key"), Command::Change(Change::Delete { keys: keys.clone() })];
    let queries = [get("key"), Query::GetAll { keys }];
    let allocated = allocation_counter::measure(|| {
        for command in commands {
            assert!(matches!(command.split(place), Ok(Split::Whole(..))));
        }
        for query in queries {
            assert!(matches!(query.split(place), Split::Whole(..)));
        }
    });
    assert_eq!(allocated.count_total, 0);
}
