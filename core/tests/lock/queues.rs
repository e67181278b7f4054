//! Who waits for a lock, and when the wait ends.

use crate::script::{Script, granted, name};
use core::time::Duration;
use quorate::lock::{
    Answer, Command, Limit, Name, Notice, PAGE, Query, Reply, SessionId, Standing, Totals, Wait,
};
use quorate::space::Heap;
use quorate::{Application, Index, Moment, Timestamp};

/// Ann holds "a"; Bob and Cid wait for it, in this order.
fn line() -> (Script, [SessionId; 3]) {
    let mut script = Script::new();
    let (ann, bob, cid) = (script.open(7), script.open(8), script.open(9));
    script.granted(ann, "a");
    assert_eq!(script.acquire(bob, "a"), Reply::Queued { ahead: 0 });
    assert_eq!(script.acquire(cid, "a"), Reply::Queued { ahead: 1 });
    (script, [ann, bob, cid])
}

fn release(script: &mut Script, session: SessionId) -> Vec<Notice> {
    let token = script.token("a").expect("it is held");
    let (reply, notices) = script.release(session, "a", token);
    assert_eq!(reply, Reply::Released);
    notices
}

fn cancel(script: &mut Script, session: SessionId) -> (Reply, Vec<Notice>) {
    script.apply(Command::Cancel { session, name: name("a") })
}

#[test]
fn first_come_is_first_granted() {
    let (mut script, [ann, bob, cid]) = line();
    assert_eq!(release(&mut script, ann), [granted(bob, "a", script.last())]);
    assert_eq!(release(&mut script, bob), [granted(cid, "a", script.last())]);
    assert_eq!(release(&mut script, cid), []);
    assert_eq!(script.holder("a"), None);
}

#[test]
fn the_order_of_a_line_survives_a_restart() {
    let (mut script, [ann, bob, cid]) = line();
    script.restart();
    assert_eq!(script.waiting("a"), [bob, cid]);
    assert_eq!(release(&mut script, ann), [granted(bob, "a", script.last())]);
}

/// Curator #1046 (CURATOR-527), Redisson #5761: between a look at the predecessor and the wait for it, it left, and
/// the wake-up was lost.
#[test]
fn the_entry_that_frees_a_lock_grants_it_whichever_way_it_came_free() {
    let (mut script, [ann, bob, _]) = line();
    assert_eq!(release(&mut script, ann), [granted(bob, "a", script.last())]);

    let (mut script, [ann, bob, _]) = line();
    assert_eq!(
        script.close(ann),
        [Notice::Closed { session: ann }, granted(bob, "a", script.last())],
        "closed"
    );

    let (mut script, [ann, bob, _]) = line();
    script.at(9).renew(bob);
    let notices = script.at(10).tick();
    assert!(notices.contains(&Notice::Expired { session: ann }));
    assert!(notices.contains(&granted(bob, "a", script.last())), "expired");
}

#[test]
fn those_behind_a_waiter_that_leaves_move_up() {
    let (mut script, [ann, bob, cid]) = line();
    let left = vec![Notice::Cancelled { session: bob, name: name("a") }];
    assert_eq!(cancel(&mut script, bob), (Reply::Cancelled, left));
    assert_eq!(script.acquire(cid, "a"), Reply::Queued { ahead: 0 });
    assert_eq!(release(&mut script, ann), [granted(cid, "a", script.last())]);
}

#[test]
fn a_cancel_takes_out_no_other_than_who_asks() {
    let (mut script, [_, bob, cid]) = line();
    assert_eq!(cancel(&mut script, cid).1, [Notice::Cancelled { session: cid, name: name("a") }]);
    assert_eq!(script.waiting("a"), [bob]);
}

#[test]
fn a_cancel_may_be_sent_until_it_is_answered() {
    let (mut script, [_, bob, cid]) = line();
    cancel(&mut script, bob);
    assert_eq!(cancel(&mut script, bob), (Reply::Cancelled, vec![]));
    assert_eq!(script.waiting("a"), [cid]);
}

/// etcd #9921: a waiter whose lease ended in line was told "you own it".
#[test]
fn a_waiter_whose_session_ended_is_not_granted() {
    let (mut script, [ann, bob, cid]) = line();
    script.at(9).renew(ann);
    script.renew(cid);
    script.at(10);
    assert_eq!(
        release(&mut script, ann),
        [Notice::Expired { session: bob }, granted(cid, "a", script.last())]
    );
}

/// etcd #19597: a waiter whose session ended went on waiting until the holder left.
#[test]
fn a_waiter_leaves_the_line_in_the_entry_that_ends_its_session() {
    let (mut script, [ann, bob, cid]) = line();
    assert_eq!(script.close(bob), [Notice::Closed { session: bob }]);
    assert_eq!(script.waiting("a"), [cid]);

    script.at(9).renew(ann);
    assert_eq!(script.at(10).tick(), [Notice::Expired { session: cid }]);
    assert_eq!(script.waiting("a"), []);
    assert_eq!(script.holder("a"), Some(ann));
}

/// Curator #566 (CURATOR-45): a retry after a lost reply left a second node, behind which the client then waited.
#[test]
fn a_retried_acquire_keeps_its_one_place_in_line() {
    let (mut script, [_, bob, cid]) = line();
    let before = script.snapshot();
    for wait in [Wait::Unlimited, Wait::No] {
        assert_eq!(script.acquire_within(bob, "a", wait), Reply::Queued { ahead: 0 });
    }
    assert_eq!(script.waiting("a"), [bob, cid]);
    assert_eq!(script.snapshot(), before);
}

/// kazoo PR 170: after a connection was lost and found, everybody waited for a watch that nobody had.
#[test]
fn a_waiter_that_lost_touch_can_ask_where_it_stands() {
    let (mut script, [ann, bob, cid]) = line();
    let ask = |script: &Script, session| {
        script.table.query(Timestamp::default(), &Query::Standing { session, name: name("a") })
    };
    assert_eq!(ask(&script, cid), Answer::Standing(Standing::Waits { ahead: 1 }));
    release(&mut script, ann);
    assert_eq!(ask(&script, ann), Answer::Standing(Standing::Apart));
    assert_eq!(ask(&script, bob), Answer::Standing(Standing::Holds(script.last())));
}

#[test]
fn who_does_not_wait_is_told_that_the_lock_is_held() {
    let (mut script, _) = line();
    let ann = script.holder("a").expect("Ann");
    release(&mut script, ann);
    assert_eq!(script.acquire_within(ann, "a", Wait::No), Reply::Held);
    assert!(!script.waiting("a").contains(&ann));
}

#[test]
fn a_wait_ends_at_its_limit_and_those_behind_move_up() {
    let mut script = Script::new();
    let (ann, bob, cid) = (script.open(7), script.open(8), script.open(9));
    let token = script.granted(ann, "a");
    let limit = Wait::AtMost(Duration::from_secs(5));
    assert_eq!(script.at(1).acquire_within(bob, "a", limit), Reply::Queued { ahead: 0 });
    script.acquire(cid, "a");
    assert_eq!(script.table.deadline(), Some(Timestamp::from_micros(6_000_000)));
    assert_eq!(script.at(5).acquire_within(bob, "a", limit), Reply::Queued { ahead: 0 }, "no new limit");
    let timed_out = Notice::TimedOut { session: bob, name: name("a") };
    assert_eq!(
        script.at(6).release(ann, "a", token),
        (Reply::Released, vec![timed_out, granted(cid, "a", script.last())])
    );
}

#[test]
fn a_wait_that_ends_when_the_holder_does_is_not_granted() {
    let (mut script, [ann, bob, cid]) = line();
    cancel(&mut script, bob);
    script.acquire_within(bob, "a", Wait::AtMost(Duration::from_secs(10)));
    cancel(&mut script, cid);
    script.at(9).renew(bob);
    assert_eq!(
        script.at(10).tick(),
        [
            Notice::Expired { session: ann },
            Notice::Expired { session: cid },
            Notice::TimedOut { session: bob, name: name("a") },
        ]
    );
    assert_eq!(script.holder("a"), None);
}

#[test]
fn a_full_line_refuses_until_a_wait_ends() {
    let (mut script, [ann, bob, cid]) = line();
    script.granted(ann, "b");
    script.acquire(bob, "b");
    script.acquire(cid, "b");
    script.granted(bob, "c");
    assert_eq!(script.acquire(cid, "c"), Reply::Full(Limit::Waiters));
    assert_eq!(script.acquire(cid, "b"), Reply::Queued { ahead: 1 }, "a retry needs no room");
    release(&mut script, ann);
    assert_eq!(script.acquire(cid, "c"), Reply::Queued { ahead: 0 });
    assert_eq!(
        script.table.query(Timestamp::default(), &Query::Totals),
        Answer::Totals(Totals { sessions: 3, locks: 3, waiters: 4 })
    );
}

#[test]
fn locks_are_listed_page_by_page() {
    type Table = quorate::lock::Table<Heap<4, 64>, 1, 20, 1>;
    let mut table = Table::default();
    let mut apply = |entry, command: Command| {
        table.apply(Moment { index: Index::new(entry), time: Timestamp::default() }, &command)
    };
    apply(1, crate::script::open(7));
    let session = SessionId::new(1);
    for lock in (0..20).rev() {
        let name = name(&format!("{lock:02}"));
        apply(100 - lock, Command::Acquire { session, name, wait: Wait::No });
    }
    let mut seen: Vec<Name> = Vec::new();
    loop {
        let after = seen.last().cloned();
        let Answer::Locks(page) = table.query(Timestamp::default(), &Query::Locks { after }) else {
            panic!("a page");
        };
        seen.extend(page.iter().map(|held| held.name.clone()));
        if page.len() < PAGE {
            break;
        }
    }
    assert_eq!(seen, (0..20).map(|lock| name(&format!("{lock:02}"))).collect::<Vec<_>>());
}

#[test]
fn notices_that_nobody_asked_for_are_forgotten_with_the_next() {
    let (mut script, [ann, bob, cid]) = line();
    let mut close = |entry, session| {
        let now = Moment { index: Index::new(entry), time: Timestamp::default() };
        script.table.apply(now, &Command::Close { session })
    };
    close(100, ann);
    close(101, bob);
    let told: Vec<_> = core::iter::from_fn(|| script.table.notice()).collect();
    let token = quorate::lock::Token::new(101);
    assert_eq!(told, [Notice::Closed { session: bob }, granted(cid, "a", token)]);
}
