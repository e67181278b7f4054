//! Flow control and snapshots.

use super::*;

/// etcd PR#2544, #14633: with the window full and all acknowledgements lost, nothing moved any more.
#[test]
fn lost_acknowledgements_are_made_up_for_by_a_heartbeat() {
    let mut cluster = Cluster::with(3, |config| config.inflight_bytes = 100);
    cluster.elect(1);
    for value in 1..=20 {
        cluster.propose(1, value);
        cluster.run_but(|flying| matches!(flying.message(), Message::Accepted { .. }));
    }
    assert!(cluster.values(1).is_empty());
    cluster.pass(Duration::from_millis(200));
    assert_eq!(cluster.values(3).len(), 20);
}

#[test]
fn what_is_under_way_to_a_peer_is_bounded() {
    let mut cluster = Cluster::with(3, |config| {
        config.inflight_bytes = 64;
        config.append_bytes = 32;
    });
    cluster.elect(1);
    cluster.flying.clear();
    for value in 1..=40 {
        cluster.propose(1, value);
    }
    let sent = said(&mut cluster, 1, 2).len();
    assert!((1..10).contains(&sent), "{sent} messages");
}

/// etcd#10225, dgraph#2707: a snapshot whose outcome nobody reported kept the follower waiting for ever.
#[test]
fn a_follower_that_crashes_in_a_transfer_goes_on_with_it() {
    let mut cluster = behind();
    let mut chunks = 0;
    for _ in 0..200 {
        cluster.pass(Duration::from_millis(1));
        let have: usize = cluster.host(3).disk.snapshots.values().map(Vec::len).sum();
        if have >= 48 {
            chunks = have;
            break;
        }
        if cluster.flying.is_empty() && have == 0 {
            cluster.pass(Duration::from_millis(20));
        }
    }
    let sent_before = cluster.sent;
    cluster.restart(3);
    cluster.pass(Duration::from_secs(2));
    assert_eq!(cluster.values(3), [31], "{chunks} bytes were there");
    assert!(cluster.sent > sent_before);
}

/// Node 3 is behind the window of the others.
fn behind() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for value in 1..=30 {
        cluster.propose(1, value);
        cluster.run_but(|flying| flying.to == node(3));
    }
    cluster.compact(1, 160);
    cluster.compact(2, 160);
    cluster.propose(1, 31);
    cluster.run_but(|flying| flying.to == node(3));
    cluster
}

/// camunda#10183, openraft 2eccb9e1: a lost, doubled or reordered chunk wedged the transfer.
#[test]
fn lost_and_doubled_chunks_do_not_matter() {
    let mut cluster = behind();
    let chunks = Cell::new(0);
    let every_third = |flying: &Flying| {
        let chunk = matches!(flying.message(), Message::Chunk { .. });
        chunks.set(chunks.get() + u32::from(chunk));
        chunk && chunks.get().is_multiple_of(3)
    };
    for _ in 0..20 {
        let doubled: Vec<_> = cluster.flying.clone();
        cluster.pass_but(Duration::from_millis(60), every_third);
        for flying in &doubled {
            cluster.deliver(flying);
        }
    }
    assert!(chunks.get() > 10);
    assert_eq!(cluster.values(3), [31]);
}

/// hashicorp#212: a change of leader in the middle of a transfer.
#[test]
fn a_new_leader_finishes_the_transfer() {
    let mut cluster = behind();
    cluster.pass_but(
        Duration::from_millis(400),
        |flying| matches!(flying.message(), Message::Chunk { offset, .. } if offset > 60),
    );
    cluster.host(1).up = false;
    cluster.pass(Duration::from_secs(5));
    assert_eq!(cluster.values(3), [31]);
}

/// camunda#6092, RedisLabs/raft#49: a late snapshot cut the log that had gone past it.
#[test]
fn a_late_snapshot_is_answered_and_ignored() {
    let mut cluster = Cluster::new(3);
    let entries: Vec<_> = (1..=20).map(|value| entry(1, value)).collect();
    say(&mut cluster, 1, 2, append(1, Position::ORIGIN, &entries, 20));
    cluster.sync(2);
    cluster.flying.clear();
    let of = SnapshotId::new(at(1, 10), 16);
    let bytes = [0; 16];
    say(
        &mut cluster,
        1,
        2,
        Message::Chunk { term: term(1), round: Round::default(), of, offset: 0, bytes: &bytes },
    );
    assert_eq!(cluster.raft(2).status().last.get(), 20);
    let told = said(&mut cluster, 2, 1);
    assert!(
        told.iter().any(
            |flying| matches!(flying.message(), Message::Accepted { matched, .. } if matched.get() == 20)
        )
    );
}

/// openraft#437: the log was cut before the snapshot that covers it was durable.
#[test]
fn only_what_was_told_is_compacted() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 1);
    cluster.flying.clear();
    let now = cluster.now;
    for at in [at(1, 2), at(1, 9), at(7, 1), at(0, 0)] {
        let refusal = cluster.host(1).raft.request(now, Request::Compact(SnapshotId::new(at, 8)));
        assert!(refusal.is_err(), "{at}");
    }
}

#[test]
fn a_chunk_is_told_when_it_is_durable_and_in_order() {
    let mut cluster = Cluster::new(3);
    let of = SnapshotId::new(at(1, 10), 48);
    let bytes = [0; 16];
    let chunk = |cluster: &mut Cluster, offset| {
        let chunk = Message::Chunk { term: term(1), round: Round::default(), of, offset, bytes: &bytes };
        say(cluster, 1, 2, chunk);
        let have = |flying: &Flying| match flying.message() {
            Message::Have { offset, .. } => Some(offset),
            _ => None,
        };
        let told = said(cluster, 2, 1).iter().filter_map(have).next_back();
        cluster.sync(2);
        let told_later = said(cluster, 2, 1).iter().filter_map(have).next_back();
        (told, told_later)
    };
    assert_eq!(chunk(&mut cluster, 0), (None, Some(16)), "the first one, not before it is durable");
    assert_eq!(
        chunk(&mut cluster, 32),
        (Some(16), None),
        "one is missing: what is here is told, and nothing taken in"
    );
    assert_eq!(chunk(&mut cluster, 16), (None, Some(32)));
    assert_eq!(chunk(&mut cluster, 0), (Some(32), None), "a double");
}

#[test]
fn a_late_chunk_of_an_older_snapshot_does_not_end_the_transfer_of_a_newer_one() {
    let mut cluster = Cluster::new(3);
    let bytes = [0; 16];
    let chunk = |cluster: &mut Cluster, leader, in_term, index, offset| {
        let of = SnapshotId::new(at(1, index), 48);
        let chunk =
            Message::Chunk { term: term(in_term), round: Round::default(), of, offset, bytes: &bytes };
        say(cluster, leader, 2, chunk);
        cluster.sync(2);
        said(cluster, 2, leader)
            .iter()
            .filter_map(|flying| match flying.message() {
                Message::Have { of, offset, .. } => Some((of.at.index.get(), offset)),
                _ => None,
            })
            .next_back()
    };
    assert_eq!(chunk(&mut cluster, 1, 1, 10, 0), Some((10, 16)));
    assert_eq!(chunk(&mut cluster, 1, 1, 20, 0), Some((20, 16)), "a newer one replaces it");
    assert_eq!(chunk(&mut cluster, 1, 1, 10, 0), Some((20, 16)), "a double of the first");
    assert_eq!(chunk(&mut cluster, 1, 1, 10, 16), Some((20, 16)), "one that was long on its way");
    assert_eq!(chunk(&mut cluster, 1, 1, 20, 16), Some((20, 32)), "it goes on");
    assert_eq!(chunk(&mut cluster, 3, 2, 10, 0), Some((10, 16)), "the next leader has only that one");
}

#[test]
fn nonsense_chunks_are_counted_and_leave_no_trace() {
    let mut cluster = Cluster::new(3);
    let of = SnapshotId::new(at(1, 10), 20);
    let bytes = [0_u8; 64];
    let chunk = |offset, len: usize| Message::Chunk {
        term: term(1),
        round: Round::default(),
        of,
        offset,
        bytes: &bytes[..len],
    };
    for (offset, len) in [(0, 17), (10, 16), (u64::MAX, 5), (0, 0)] {
        say(&mut cluster, 1, 2, chunk(offset, len));
    }
    assert_eq!(cluster.raft(2).counters().nonsense, 4);
    assert!(cluster.host(2).disk.snapshots.is_empty());
}
