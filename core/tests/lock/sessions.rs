//! How sessions begin and end.

use crate::script::{Script, TTL, open};
use core::time::Duration;
use quorate::lock::{Answer, Command, Limit, Notice, Query, Reply, SessionId, Ttl};
use quorate::{Application, Timestamp};

#[test]
fn a_retried_open_finds_the_same_session_and_renews_it() {
    let mut script = Script::new();
    let ann = script.open(7);
    assert_eq!(script.at(9).open(7), ann);
    assert_eq!(script.at(18).renew(ann), Reply::Renewed);
}

#[test]
fn a_retried_open_with_another_lease_cuts_none_short() {
    let mut script = Script::new();
    let ann = script.open(7);
    let shorter = Command::Open { client: 7, ttl: Ttl::MIN };
    assert_eq!(script.apply(shorter).0, Reply::Opened { session: ann });
    assert_eq!(script.at(9).renew(ann), Reply::Renewed);
}

#[test]
fn a_session_lives_until_its_last_renewal_plus_its_lease_and_no_longer() {
    let mut script = Script::new();
    let ann = script.open(7);
    assert_eq!(script.at(9).renew(ann), Reply::Renewed);
    assert_eq!(script.at(18).tick(), []);
    assert_eq!(script.at(19).tick(), [Notice::Expired { session: ann }]);
}

#[test]
fn a_renewal_in_the_entry_that_ends_the_lease_is_too_late() {
    let mut script = Script::new();
    let ann = script.open(7);
    let (reply, notices) = script.at(10).apply(Command::Renew { session: ann });
    assert_eq!((reply, notices), (Reply::SessionExpired, vec![Notice::Expired { session: ann }]));
}

/// etcd #20273: each new leader, and each restart, gave every lease its whole time again, so leaders that changed
/// faster than that kept a dead owner's lease for ever.
#[test]
fn a_lease_goes_on_where_it_was_however_often_the_leader_changes() {
    let mut script = Script::new();
    let ann = script.open(7);
    for second in 1..10 {
        assert_eq!(script.at(second).tick(), []);
        script.restart();
    }
    assert_eq!(script.at(10).tick(), [Notice::Expired { session: ann }]);
}

#[test]
fn time_that_stands_still_ends_no_session() {
    let mut script = Script::new();
    let ann = script.open(7);
    script.at(9);
    for _ in 0..1_000 {
        assert_eq!(script.tick(), []);
    }
    assert_eq!(script.renew(ann), Reply::Renewed);
}

#[test]
fn a_jump_of_time_ends_all_sessions_in_one_entry() {
    let mut script = Script::new();
    let all = [script.open(7), script.open(8), script.open(9)];
    assert_eq!(script.at(1 << 40).tick(), all.map(|session| Notice::Expired { session }));
    assert_eq!(script.table.deadline(), None);
}

/// hazelcast #17436: handles of a group that was gone hung instead of failing.
#[test]
fn handles_of_an_ended_session_fail_and_do_not_hang() {
    let mut script = Script::new();
    let ann = script.open(7);
    let token = script.granted(ann, "a");
    script.at(10);
    assert_eq!(script.renew(ann), Reply::SessionExpired);
    assert_eq!(script.acquire(ann, "a"), Reply::SessionExpired);
    assert_eq!(script.release(ann, "a", token), (Reply::NotHeld, vec![]));
    assert_eq!(script.close(ann), []);
    assert_eq!(script.renew(SessionId::new(999)), Reply::SessionExpired);
}

/// etcd #6093: a delete of what hung on a lease that was gone crashed every member.
#[test]
fn ending_what_has_ended_changes_nothing() {
    let mut script = Script::new();
    let ann = script.open(7);
    let token = script.granted(ann, "a");
    script.close(ann);
    let before = script.snapshot();
    assert_eq!(script.release(ann, "a", token), (Reply::NotHeld, vec![]));
    assert_eq!(script.close(ann), []);
    assert_eq!(script.apply(Command::Cancel { session: ann, name: crate::script::name("a") }).1, []);
    assert_eq!(script.snapshot(), before);
}

#[test]
fn a_client_that_opens_again_after_its_session_ended_gets_a_new_one() {
    let mut script = Script::new();
    let (before, after) = (script.open(7), script.at(10).open(7));
    assert!(after > before);
}

#[test]
fn a_full_table_refuses_a_session_until_one_ends() {
    let mut script = Script::new();
    let first = script.open(1);
    for client in 2..=3 {
        script.open(client);
    }
    assert_eq!(script.apply(open(4)).0, Reply::Full(Limit::Sessions));
    assert_eq!(script.open(1), first, "a retry needs no room");
    script.close(first);
    script.open(4);
}

#[test]
fn the_table_is_due_when_the_first_lease_may_be_over() {
    let mut script = Script::new();
    assert_eq!(script.table.deadline(), None);
    let ann = script.at(1).open(7);
    let end = |second| Some(Timestamp::default().after(Duration::from_secs(second)).after(TTL));
    assert_eq!(script.table.deadline(), end(1));

    script.at(5).renew(ann);
    assert_eq!(script.at(11).tick(), []);
    assert_eq!(script.table.deadline(), end(5), "it looks anew when the time has come");
}

#[test]
fn a_lease_can_be_looked_at() {
    let mut script = Script::new();
    let ann = script.open(7);
    let ask = |second, session| {
        let now = Timestamp::default().after(Duration::from_secs(second));
        match script.table.query(now, &Query::Session { session }) {
            Answer::Session(lease) => lease.map(|lease| lease.left),
            other => panic!("a lease, not {other:?}"),
        }
    };
    assert_eq!(ask(4, ann), Some(Duration::from_secs(6)));
    assert_eq!(ask(40, ann), Some(Duration::ZERO));
    assert_eq!(ask(4, SessionId::new(99)), None);
}
