//! Reads.

use super::*;

/// etcd#7331, tikv#6340: a new leader served reads before it knew what was committed.
#[test]
fn a_new_leader_reads_only_after_an_entry_of_its_own_term() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 7);
    // Node 2 has the entry but does not know that it is committed.
    cluster.run_but(|flying| {
        flying.to == node(2)
            && matches!(flying.message(), Message::Append { entries, .. } if entries.is_empty())
    });
    cluster.now = cluster.now.after(Duration::from_secs(1));
    cluster.campaign(2);
    cluster.run_but(|flying| matches!(flying.message(), Message::Append { .. }));
    assert_eq!(cluster.raft(2).status().role, Role::Leader);
    let now = cluster.now;
    cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.wake(2);
    cluster.pass(Duration::from_millis(500));
    let Some(Event::Readable { from, .. }) = cluster.host(2).readable.pop() else {
        panic!("the read is answered")
    };
    assert!(from.get() >= 3, "it covers the entry of its own term, and so all before: {from}");
}

/// etcd#20418, sofa-jraft#24: a leader that was paused served from the past.
#[test]
fn a_leader_that_was_paused_does_not_answer_from_the_past() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.host(1).up = false;
    cluster.pass(Duration::from_secs(2));
    let next = leader(&cluster).expect("another leads");
    cluster.propose(next, 9);
    cluster.run();
    cluster.host(1).up = true;
    let now = cluster.now;
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    assert!(cluster.host(1).readable.is_empty());
    cluster.pass(Duration::from_secs(2));
    let Some(Event::Readable { from, .. }) = cluster.host(1).readable.pop() else {
        panic!("the read is answered")
    };
    assert!(cluster.raft(next).status().commit <= from);
    assert_eq!(cluster.values(1), [9]);
}

/// tikv#6348, restate#2950: a lost question or answer hung the client.
#[test]
fn a_lost_read_index_is_asked_again() {
    for lost_answer in [false, true] {
        let mut cluster = Cluster::new(3);
        cluster.elect(1);
        let now = cluster.now;
        cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
        cluster.drain(2);
        cluster.run_but(|flying| match flying.message() {
            Message::ReadIndex { .. } => !lost_answer,
            Message::ReadAt { .. } => lost_answer,
            _ => false,
        });
        assert!(cluster.host(2).readable.is_empty());
        cluster.pass(Duration::from_millis(300));
        assert_eq!(cluster.host(2).readable.len(), 1);
    }
}

#[test]
fn a_read_outlives_its_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.host(1).up = false;
    cluster.pass(Duration::from_secs(3));
    assert_eq!(cluster.host(2).readable.len(), 1);
}

/// etcd-io/raft#105, openraft#1788: a restarted node served with an old commit index.
#[test]
fn a_single_node_reads_all_that_it_acknowledged_after_a_restart() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    cluster.propose(1, 7);
    cluster.restart(1);
    let now = cluster.now;
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    assert!(cluster.host(1).readable.is_empty());
    cluster.pass(Duration::from_secs(1));
    let Some(Event::Readable { from, .. }) = cluster.host(1).readable.pop() else {
        panic!("the read is answered")
    };
    assert!(from.get() >= 2);
    assert_eq!(cluster.values(1), [7]);
}

#[test]
fn an_answer_of_an_earlier_round_confirms_no_read() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.pass(Duration::from_millis(61));
    cluster.wake(1);
    let now = cluster.now.after(Duration::from_millis(70));
    cluster.now = now;
    cluster.wake(1);
    let beats: Vec<_> = cluster.flying.drain(..).collect();
    cluster.host(1).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.drain(1);
    cluster.flying.clear();
    for beat in beats {
        cluster.deliver(&beat);
    }
    cluster.run();
    assert!(cluster.host(1).readable.is_empty(), "the heartbeats were sent before the read was asked");
}

#[test]
fn a_follower_cut_from_its_leader_gets_no_answer_from_another() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    let now = cluster.now;
    cluster.host(2).raft.request(now, Request::Read).expect("reads are always taken up");
    cluster.pass_but(Duration::from_millis(100), between(node(1), node(2)));
    say(&mut cluster, 3, 2, Message::ReadAt { term: term(1), id: 1, index: Index::new(1) });
    assert!(cluster.host(2).readable.is_empty());
}

/// A store lets go of all snapshots but one when a restart is durable: a piece that was placed meanwhile would go too.
#[test]
fn a_chunk_waits_until_a_restart_is_durable() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=20).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 20));
    cluster.sync(2);
    let (now, own) = (cluster.now, SnapshotId::new(at(1, 20), 8));
    cluster.host(2).disk.snapshots.insert(support::key(own), vec![0; 8]);
    cluster.host(2).raft.request(now, Request::Compact(own)).expect("it is here");
    cluster.drain(2);
    let of = SnapshotId::new(at(1, 90), 20);
    let chunk = |offset, bytes| Message::Chunk { term: term(1), round: Round::default(), of, offset, bytes };
    say(&mut cluster, 1, 2, chunk(0, &[1; 16]));
    assert!(!cluster.host(2).disk.snapshots.contains_key(&support::key(of)), "the restart is not durable");
    cluster.sync(2);
    say(&mut cluster, 1, 2, chunk(0, &[1; 16]));
    assert_eq!(cluster.host(2).disk.snapshots[&support::key(of)].len(), 16);
}

/// Pieces of a snapshot lie beside the log, so they may outlive a crash that the term they came in does not.
#[test]
fn a_piece_of_a_snapshot_of_a_term_that_was_lost_is_left_alone() {
    for have in [16, 20] {
        let of = SnapshotId::new(at(2, 90), 20);
        let ids = [1, 2, 3].map(node);
        let config = quorate::raft::Config::new(ids[0], &ids);
        let no_records = std::iter::empty::<quorate::raft::Record<'_, u64>>();
        let raft = support::Node::restore(config, 1, quorate::Instant::default(), no_records, &[(of, have)]);
        let status = raft.expect("a crash left that behind").status();
        assert_eq!((status.term, status.commit), (term(0), Index::new(0)));
    }
}

#[test]
fn an_empty_snapshot_brings_a_follower_on() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=30 {
        cluster.propose(1, value);
        cluster.run_but(|flying| flying.to == node(3));
    }
    cluster.compact(1, 0);
    cluster.compact(2, 0);
    cluster.propose(1, 31);
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.values(3), [31]);
}

/// Or each double would be answered by another, as fast as the network is, for as long as the disk is slow.
#[test]
fn a_chunk_that_is_being_saved_is_not_asked_for_again() {
    let mut cluster = Cluster::new(3);
    let of = SnapshotId::new(at(1, 90), 32);
    let chunk = || Message::Chunk { term: term(1), round: Round::default(), of, offset: 0, bytes: &[1; 16] };
    let is_have = |flying: &Flying| matches!(flying.message(), Message::Have { offset: 16, .. });
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[], 0));
    cluster.sync(2);
    cluster.flying.clear();
    say(&mut cluster, 1, 2, chunk());
    say(&mut cluster, 1, 2, chunk());
    assert!(!said(&mut cluster, 2, 1).iter().any(|flying| matches!(flying.message(), Message::Have { .. })));
    cluster.sync(2);
    assert!(said(&mut cluster, 2, 1).iter().any(is_have));
    say(&mut cluster, 1, 2, chunk());
    assert!(said(&mut cluster, 2, 1).iter().any(is_have), "the answer may have been lost");
}

#[test]
fn an_empty_snapshot_is_here_only_when_its_record_is_durable() {
    let mut cluster = Cluster::new(3);
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &[entry(1, 1)], 0));
    let earlier = cluster.sync_quietly(2).expect("there is something to save");
    let of = SnapshotId::new(at(1, 90), 0);
    say(
        &mut cluster,
        1,
        2,
        Message::Chunk { term: term(1), round: Round::default(), of, offset: 0, bytes: &[] },
    );
    let now = cluster.now;
    cluster.host(2).raft.handle(now, Input::Saved(earlier));
    assert_eq!(cluster.raft(2).status().commit, Index::new(0));
    cluster.sync(2);
    assert_eq!(cluster.raft(2).status().commit, Index::new(90));
}

#[test]
fn more_voters_than_fit_are_refused_by_all() {
    use quorate::{raft::Config, space::Fixed};
    let ids = [1, 2, 3, 4, 5].map(node);
    for id in ids {
        assert!(Config::<Fixed<3, 64>>::new(id, &ids).check().is_err(), "{id}");
    }
}

/// What did not fit was rejected and sent again at once, for as long as the follower did not compact.
#[test]
fn a_follower_whose_window_is_full_is_tried_again_with_the_heartbeats() {
    let mut cluster = Cluster::with(3, |config| config.append_bytes = 64);
    cluster.elect(1);
    let propose = |cluster: &mut Cluster, values: std::ops::RangeInclusive<u64>| {
        for value in values {
            cluster.propose(1, value);
            cluster.run();
        }
    };
    propose(&mut cluster, 1..=50);
    cluster.compact(1, 16);
    cluster.compact(2, 16);
    propose(&mut cluster, 51..=95);
    let sent = cluster.sent;
    cluster.pass(Duration::from_secs(1));
    assert!(cluster.sent - sent < 300, "{} messages in a second", cluster.sent - sent);
    cluster.compact(3, 16);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.values(3), (1..=95).collect::<Vec<_>>());
}
