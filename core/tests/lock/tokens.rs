//! Who holds a lock, and with which token.

use crate::script::{Script, granted, name};
use quorate::lock::{Command, Limit, Notice, Reply, Token, Wait};

/// Kleppmann 2016: A holds with 33 and pauses longer than its lease, B gets 34 and writes, A wakes and writes.
#[test]
fn a_holder_that_overslept_is_told_apart_by_its_token() {
    let mut script = Script::new();
    let (ann, bob) = (script.open(7), script.open(8));
    let paused = script.granted(ann, "a");
    script.at(9).renew(bob);
    let successor = script.at(10).granted(bob, "a");
    assert!(successor > paused);

    let mut highest = None;
    let mut store_admits = |token: Token| {
        let fresh = highest <= Some(token);
        highest = highest.max(Some(token));
        fresh
    };
    assert!(store_admits(paused));
    assert!(store_admits(successor));
    assert!(!store_admits(paused), "Ann wakes and writes");
}

/// node-redlock PR 369, hazelcast-nodejs #898: a retry after a lost reply was told "held by another".
#[test]
fn a_retried_acquire_is_already_yours_with_the_same_token() {
    let mut script = Script::new();
    let ann = script.open(7);
    let token = script.granted(ann, "a");
    for wait in [Wait::No, Wait::Unlimited] {
        assert_eq!(script.acquire_within(ann, "a", wait), Reply::Granted { token });
    }
    script.restart();
    assert_eq!(script.acquire(ann, "a"), Reply::Granted { token });
}

#[test]
fn the_token_is_the_index_of_the_entry_that_granted() {
    let mut script = Script::new();
    let (ann, bob) = (script.open(7), script.open(8));
    let token = script.granted(ann, "a");
    assert_eq!(token, Token::new(3));
    script.acquire(bob, "a");
    let (_, notices) = script.release(ann, "a", token);
    assert_eq!(notices, [granted(bob, "a", Token::new(5))]);
}

#[test]
fn tokens_of_a_lock_rise_through_release_expiry_and_restart() {
    let mut script = Script::new();
    let mut last = Token::new(0);
    for round in 0..20 {
        let session = script.at(round * 20).open(round);
        let token = script.granted(session, "a");
        assert!(token > last, "{token:?} after {last:?}");
        last = token;
        match round % 3 {
            0 => assert_eq!(script.release(session, "a", token).0, Reply::Released),
            1 => script.restart(),
            _ => drop(script.close(session)),
        }
    }
}

/// Redis, distributed locks: DEL by a late owner deletes the lock of the next.
#[test]
fn a_late_release_does_not_touch_the_next_holder() {
    let mut script = Script::new();
    let (ann, bob) = (script.open(7), script.open(8));
    let first = script.granted(ann, "a");
    script.release(ann, "a", first);
    let second = script.granted(bob, "a");
    let before = script.snapshot();
    for (session, token) in [(ann, first), (ann, second), (bob, first)] {
        assert_eq!(script.release(session, "a", token), (Reply::NotHeld, vec![]));
    }
    assert_eq!(script.snapshot(), before);

    script.release(bob, "a", second);
    let third = script.granted(ann, "a");
    assert_eq!(script.release(ann, "a", first).0, Reply::NotHeld, "its own, but an older grant");
    assert_eq!(script.release(ann, "a", third).0, Reply::Released);
}

/// Curator #1193 (CURATOR-678): a release whose reply was lost left the lock behind.
#[test]
fn a_release_may_be_sent_until_it_is_answered() {
    let mut script = Script::new();
    let ann = script.open(7);
    let token = script.granted(ann, "a");
    assert_eq!(script.release(ann, "a", token).0, Reply::Released);
    assert_eq!(script.release(ann, "a", token).0, Reply::NotHeld);
    assert_eq!(script.holder("a"), None);
}

/// Redisson #7272: a renewal that ran after the unlock kept a lock that nobody held.
#[test]
fn a_renewal_brings_no_released_lock_back() {
    let mut script = Script::new();
    let ann = script.open(7);
    let token = script.granted(ann, "a");
    script.release(ann, "a", token);
    assert_eq!(script.renew(ann), Reply::Renewed);
    assert_eq!(script.holder("a"), None);
}

#[test]
fn the_end_of_a_session_frees_all_its_locks_and_no_others() {
    let mut script = Script::new();
    let (ann, bob) = (script.open(7), script.open(8));
    for lock in ["a", "c"] {
        script.granted(ann, lock);
    }
    script.granted(bob, "b");
    script.close(ann);
    assert_eq!(["a", "b", "c"].map(|lock| script.holder(lock)), [None, Some(bob), None]);
    script.at(10).tick();
    assert_eq!(script.holder("b"), None);
}

#[test]
fn one_entry_may_grant_several_locks_with_its_token() {
    let mut script = Script::new();
    let (ann, bob) = (script.open(7), script.open(8));
    for lock in ["a", "b"] {
        script.granted(ann, lock);
        script.acquire(bob, lock);
    }
    script.at(5).renew(bob);
    let notices = script.at(10).tick();
    let token = script.last();
    let expected = [Notice::Expired { session: ann }, granted(bob, "a", token), granted(bob, "b", token)];
    assert_eq!(notices, expected);
}

#[test]
fn holder_and_first_waiter_that_expire_together_pass_the_lock_to_the_second_at_once() {
    let mut script = Script::new();
    let (ann, bob, cid) = (script.open(7), script.open(8), script.open(9));
    script.granted(ann, "a");
    script.acquire(bob, "a");
    script.acquire(cid, "a");
    script.at(9).renew(cid);
    let notices = script.at(10).tick();
    let ended = [ann, bob].map(|session| Notice::Expired { session });
    assert_eq!(notices, [&ended[..], &[granted(cid, "a", script.last())]].concat());
}

#[test]
fn a_lock_that_time_granted_is_not_granted_again_when_the_same_entry_closes_its_holder() {
    let mut script = Script::new();
    let (ann, bob, cid) = (script.open(7), script.open(8), script.open(9));
    script.granted(ann, "a");
    script.acquire(bob, "a");
    script.acquire(cid, "a");
    script.at(9).renew(bob);
    script.renew(cid);

    let notices = script.at(10).close(bob);
    assert_eq!(notices, [Notice::Expired { session: ann }, granted(bob, "a", script.last())]);
    let first = script.token("a");
    assert_eq!(script.tick(), [Notice::Expired { session: bob }, granted(cid, "a", script.last())]);
    assert!(script.token("a") > first);
}

#[test]
fn a_guessed_token_of_the_entry_itself_releases_nothing() {
    let mut script = Script::new();
    let (ann, bob, cid) = (script.open(7), script.open(8), script.open(9));
    script.granted(ann, "a");
    script.acquire(bob, "a");
    script.acquire(cid, "a");
    script.at(9).renew(bob);
    script.renew(cid);

    let guess = Token::new(script.last().get() + 1);
    let (reply, _) = script.at(10).release(bob, "a", guess);
    assert_eq!((reply, script.token("a"), script.holder("a")), (Reply::NotHeld, Some(guess), Some(bob)));
    assert_eq!(script.release(bob, "a", guess).0, Reply::Released, "once it is known");
}

#[test]
fn a_full_table_refuses_a_lock_until_one_is_free() {
    let mut script = Script::new();
    let ann = script.open(7);
    let first = script.granted(ann, "a");
    script.granted(ann, "b");
    script.granted(ann, "c");
    assert_eq!(script.acquire(ann, "d"), Reply::Full(Limit::Locks));
    assert_eq!(script.acquire(ann, "a"), Reply::Granted { token: first }, "a retry needs no room");
    script.release(ann, "a", first);
    script.granted(ann, "d");
}

#[test]
fn a_cancel_that_comes_after_the_grant_says_so() {
    let mut script = Script::new();
    let ann = script.open(7);
    let token = script.granted(ann, "a");
    let cancel = Command::Cancel { session: ann, name: name("a") };
    assert_eq!(script.apply(cancel), (Reply::Granted { token }, vec![]));
    assert_eq!(script.holder("a"), Some(ann));
}
