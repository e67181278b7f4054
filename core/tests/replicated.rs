//! A replicated application: exactly once, in order, whoever leads, across crashes and snapshots.

#[path = "support/sum.rs"]
mod sum;

use quorate::raft::Role;
use quorate::replicated::{
    Failure, Message, Outcome, Reason, Request, Sequence, SessionId, Settings, Ticket,
};
use quorate::space::Heap;
use quorate::{
    Answering, Errand, GroupId, Hosted, Input, Instant, Machine, NodeId, Output, Place, Replicated,
    SnapshotId, Stored, Timestamp,
};
use std::collections::BTreeMap;
use std::time::Duration;
use sum::{Ask, Sum};

type Space = Heap<3, 32, 16>;
type Node = Replicated<Sum, Space, 2, 8>;

struct Host {
    node: Node,
    records: Vec<Vec<u8>>,
    snapshots: Vec<(SnapshotId, Vec<u8>)>,
    outcomes: BTreeMap<Ticket, Outcome<Sum>>,
    notices: Vec<Timestamp>,
    images: usize,
    /// Where it started from a snapshot.
    loaded: Vec<quorate::Index>,
}

struct Cluster {
    hosts: Vec<Host>,
    flying: Vec<(NodeId, NodeId, Vec<u8>)>,
    cut: Vec<NodeId>,
    /// Whether acknowledgements are lost.
    mute: bool,
    /// Who gets no appends.
    behind: Option<NodeId>,
    now: Instant,
    lives: u64,
}

fn settings(id: u64) -> Settings<Space> {
    let ids = [1, 2, 3].map(NodeId::new);
    Settings::new(NodeId::new(id), &ids)
}

impl Cluster {
    fn new() -> Self {
        let host = |id| Host {
            node: restore(id, id, Instant::default(), &[], &[]),
            records: Vec::new(),
            snapshots: Vec::new(),
            outcomes: BTreeMap::new(),
            images: 0,
            notices: Vec::new(),
            loaded: Vec::new(),
        };
        let hosts = (1..=3).map(host).collect();
        let mut cluster = Self {
            hosts,
            flying: Vec::new(),
            cut: Vec::new(),
            mute: false,
            behind: None,
            now: Instant::from_micros(1),
            lives: 10,
        };
        cluster.pass(Duration::from_secs(1));
        cluster
    }

    fn leader(&self) -> u64 {
        let up = |id: &u64| !self.cut.contains(&NodeId::new(*id));
        (1..=3)
            .filter(up)
            .find(|&id| self.hosts[id as usize - 1].node.status().role == Role::Leader)
            .expect("somebody leads")
    }

    fn follower(&self) -> u64 {
        let leader = self.leader();
        (1..=3).find(|&id| id != leader).expect("somebody follows")
    }

    fn ask(&mut self, id: u64, request: Request<Sum>) -> Ticket {
        let now = self.now;
        let ticket = self.hosts[id as usize - 1].node.request(now, request).expect("it is taken up");
        self.drain(id);
        ticket
    }

    fn done(&mut self, id: u64, request: Request<Sum>) -> Outcome<Sum> {
        let ticket = self.ask(id, request);
        self.pass(Duration::from_secs(1));
        self.hosts[id as usize - 1].outcomes.remove(&ticket).expect("it ended")
    }

    fn add(&mut self, id: u64, number: u64) -> u64 {
        match self.done(id, Request::Command(Ask::Add(number))) {
            Outcome::Replied { reply, .. } => reply,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, id: u64, client: u64) -> SessionId {
        match self.done(id, Request::Open { client }) {
            Outcome::Opened(session) => session,
            other => panic!("{other:?}"),
        }
    }

    fn submit(&mut self, id: u64, session: SessionId, sequence: u64, floor: u64) -> Outcome<Sum> {
        let (sequence, floor) = (Sequence::new(sequence), Sequence::new(floor));
        self.done(id, Request::Submit { session, sequence, floor, command: Ask::Add(1) })
    }

    fn drain(&mut self, id: u64) {
        let now = self.now;
        let host = &mut self.hosts[id as usize - 1];
        loop {
            let mut receipt = None;
            while let Some(output) = host.node.poll() {
                match output {
                    Output::Save(write) => {
                        let (record, pending) = write.split();
                        match Node::place(&record) {
                            Place::Log => {}
                            Place::Restart { keep } => host.snapshots.retain(|(of, _)| Some(*of) == keep),
                            Place::Snapshot { of, offset, bytes } => {
                                if offset == 0 {
                                    host.snapshots.push((of, Vec::new()));
                                }
                                let held =
                                    host.snapshots.iter_mut().find(|(id, _)| *id == of).expect("it began");
                                held.1.extend_from_slice(bytes);
                            }
                        }
                        let mut bytes = Vec::new();
                        Node::put_record(&record, &mut bytes).expect("a vector is never full");
                        host.records.push(bytes);
                        receipt = Some(pending.assert_durable());
                    }
                    Output::Send { to, message } => {
                        let mut bytes = Vec::new();
                        Node::put_message(&message, &mut bytes).expect("a vector is never full");
                        self.flying.push((NodeId::new(id), to, bytes));
                    }
                    Output::Event(event) => match Node::errand(&event) {
                        Some(Errand::Write { at, image, .. }) => {
                            let mut bytes = Vec::new();
                            image.write(&mut bytes).expect("a vector is never full");
                            let of = SnapshotId::new(at, bytes.len() as u64);
                            host.snapshots.push((of, bytes));
                            host.images += 1;
                            host.node.finish(now, quorate::Done::Written(of)).expect("it is kept");
                        }
                        Some(Errand::Read { to, of, offset, len }) => {
                            let held = host.snapshots.iter().find(|(id, _)| *id == of).expect("it is kept");
                            let bytes = held.1[offset as usize..offset as usize + len].to_vec();
                            let done = quorate::Done::Read { to, of, offset, bytes: &bytes };
                            host.node.finish(now, done).expect("it is sent");
                        }
                        Some(Errand::Load { of }) => {
                            let held = host.snapshots.iter().find(|(id, _)| *id == of).expect("it is kept");
                            let bytes = held.1.clone();
                            host.node
                                .finish(now, quorate::Done::Loaded { of, bytes: &bytes })
                                .expect("it is good");
                        }
                        None => match Node::outcome(event) {
                            Ok((ticket, outcome)) => {
                                assert!(host.outcomes.insert(ticket, outcome).is_none(), "a ticket ends once")
                            }
                            Err(quorate::replicated::Event::Notice(notice)) => host.notices.push(notice),
                            Err(quorate::replicated::Event::Loaded { at }) => host.loaded.push(at.index),
                            Err(_) => {}
                        },
                    },
                }
            }
            match receipt {
                Some(receipt) => host.node.handle(now, Input::Saved(receipt)),
                None => return,
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            if self.flying.is_empty() {
                return;
            }
            let (from, to, bytes) = self.flying.remove(0);
            if self.cut.contains(&from) || self.cut.contains(&to) {
                continue;
            }
            let message = Node::take_message(&bytes).expect("what is sent can be read");
            let append = matches!(&message, Message::Raft(quorate::raft::Message::Append { .. }));
            let accepted = matches!(&message, Message::Raft(quorate::raft::Message::Accepted { .. }));
            if append && self.behind == Some(to) || accepted && self.mute {
                continue;
            }
            self.hosts[to.get() as usize - 1].node.handle(self.now, Input::Message { from, message });
            self.drain(to.get());
        }
        panic!("the cluster does not come to rest");
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        self.run();
        loop {
            let next =
                self.hosts.iter().filter_map(|host| host.node.deadline()).min().expect("there is always one");
            if next > end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now.after(Duration::from_micros(1)));
            for id in 1..=3 {
                self.hosts[id as usize - 1].node.handle(self.now, Input::Wake);
                self.drain(id);
            }
            self.run();
        }
    }

    fn restart(&mut self, id: u64) {
        self.lives += 1;
        let (lives, now) = (self.lives, self.now);
        let host = &mut self.hosts[id as usize - 1];
        host.node = restore(id, lives, now, &host.records, &host.snapshots);
        host.outcomes.clear();
        self.drain(id);
    }
}

fn restore(
    id: u64,
    seed: u64,
    now: Instant,
    records: &[Vec<u8>],
    snapshots: &[(SnapshotId, Vec<u8>)],
) -> Node {
    let snapshots: Vec<_> = snapshots.iter().map(|(of, bytes)| (*of, bytes.len() as u64)).collect();
    let stored = Stored { records: records.iter().map(Vec::as_slice), snapshots: &snapshots };
    Node::restore(&settings(id), seed, now, stored).expect("the records are good")
}

#[test]
fn any_node_takes_commands_and_queries() {
    let mut cluster = Cluster::new();
    for id in 1..=3 {
        assert_eq!(cluster.add(id, 10), id * 10);
        let answer = cluster.done(id, Request::Query(()));
        assert!(matches!(answer, Outcome::Answered(total) if total == id * 10), "{answer:?}");
    }
}

#[test]
fn an_answer_waits_for_the_state_to_come_as_far_as_was_written() {
    let mut cluster = Cluster::new();
    let (leader, follower) = (cluster.leader(), cluster.follower());
    cluster.behind = Some(NodeId::new(follower));
    cluster.ask(leader, Request::Command(Ask::Add(5)));
    cluster.pass(Duration::from_millis(50));
    let ticket = cluster.ask(follower, Request::Query(()));
    cluster.pass(Duration::from_millis(50));
    assert!(
        !cluster.hosts[follower as usize - 1].outcomes.contains_key(&ticket),
        "the command is not here yet"
    );
    cluster.behind = None;
    cluster.pass(Duration::from_secs(1));
    let outcome = cluster.hosts[follower as usize - 1].outcomes.remove(&ticket);
    assert!(matches!(outcome, Some(Outcome::Answered(5))), "{outcome:?}");
}

#[test]
fn a_command_whose_message_was_lost_takes_effect_once() {
    let mut cluster = Cluster::new();
    let follower = cluster.follower();
    cluster.add(follower, 1);
    let ticket = cluster.ask(follower, Request::Command(Ask::Add(5)));
    cluster.flying.clear();
    cluster.pass(Duration::from_secs(2));
    let outcome = cluster.hosts[follower as usize - 1].outcomes.remove(&ticket);
    assert!(matches!(outcome, Some(Outcome::Replied { reply: 6, .. })), "{outcome:?}");
}

#[test]
fn a_command_whose_message_is_doubled_takes_effect_once() {
    let mut cluster = Cluster::new();
    let follower = cluster.follower();
    cluster.add(follower, 1);
    let ticket = cluster.ask(follower, Request::Command(Ask::Add(5)));
    let doubled = cluster.flying.clone();
    cluster.flying.extend(doubled);
    cluster.pass(Duration::from_secs(1));
    let outcome = cluster.hosts[follower as usize - 1].outcomes.remove(&ticket);
    assert!(matches!(outcome, Some(Outcome::Replied { reply: 6, .. })), "{outcome:?}");
    assert!(matches!(cluster.done(follower, Request::Query(())), Outcome::Answered(6)));
}

#[test]
fn a_command_outlives_the_leader_it_was_sent_to() {
    let mut cluster = Cluster::new();
    let (leader, follower) = (cluster.leader(), cluster.follower());
    cluster.add(follower, 1);
    let ticket = cluster.ask(follower, Request::Command(Ask::Add(5)));
    cluster.cut.push(NodeId::new(leader));
    cluster.pass(Duration::from_secs(3));
    let outcome = cluster.hosts[follower as usize - 1].outcomes.remove(&ticket);
    assert!(matches!(outcome, Some(Outcome::Replied { reply: 6, .. })), "{outcome:?}");
}

#[test]
fn a_node_that_comes_back_with_the_seed_of_its_last_life_gets_no_old_replies() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.add(1, 5), 5);
    // The seed that node 1 was made with.
    cluster.lives = 0;
    cluster.restart(1);
    cluster.pass(Duration::from_secs(1));
    assert_eq!(cluster.add(1, 7), 12);
}

#[test]
fn a_retry_gets_the_identical_reply_from_any_node() {
    let mut cluster = Cluster::new();
    let session = cluster.open(1, 77);
    assert_eq!(cluster.open(2, 77), session, "opening again finds the session");
    let first = format!("{:?}", cluster.submit(1, session, 1, 0));
    cluster.add(3, 100);
    assert_eq!(format!("{:?}", cluster.submit(2, session, 1, 0)), first);
    assert_eq!(format!("{:?}", cluster.submit(3, session, 1, 0)), first);
}

#[test]
fn the_reply_table_is_part_of_the_snapshot() {
    let mut cluster = Cluster::new();
    let session = cluster.open(1, 77);
    let first = format!("{:?}", cluster.submit(1, session, 1, 0));
    for _ in 0..40 {
        cluster.add(2, 1);
    }
    assert!(cluster.hosts.iter().all(|host| !host.snapshots.is_empty()), "the log was compacted");
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.pass(Duration::from_secs(2));
    assert_eq!(format!("{:?}", cluster.submit(3, session, 1, 0)), first);
    assert!(matches!(cluster.done(1, Request::Query(())), Outcome::Answered(41)));
}

#[test]
fn a_node_that_starts_from_a_snapshot_tells_so_since_it_skipped_notices() {
    let mut cluster = Cluster::new();
    let behind = cluster.follower();
    cluster.cut.push(NodeId::new(behind));
    for _ in 0..40 {
        let leader = cluster.leader();
        cluster.add(leader, 1);
    }
    cluster.cut.clear();
    cluster.pass(Duration::from_secs(5));
    let host = &cluster.hosts[behind as usize - 1];
    assert_eq!(host.node.application().total, 40);
    assert!(matches!(host.loaded[..], [at] if at <= host.node.applied()), "{:?}", host.loaded);
    assert!(cluster.hosts.iter().filter(|host| host.loaded.is_empty()).count() == 2, "the others did not");
}

/// Found by simulation: a new leader's first entry did not fit the full windows of its followers, and could not commit.
#[test]
fn a_window_that_is_all_but_full_is_compacted_however_little_was_applied() {
    let mut cluster = Cluster::new();
    cluster.add(1, 1);
    assert!(cluster.hosts.iter().all(|host| host.snapshots.is_empty()));
    let leader = cluster.leader();
    cluster.mute = true;
    for client in 100..130 {
        cluster.ask(leader, Request::Open { client });
    }
    cluster.pass(Duration::from_millis(100));
    assert!(cluster.hosts.iter().all(|host| !host.snapshots.is_empty()), "each makes what room it can");
    cluster.mute = false;
    cluster.pass(Duration::from_secs(2));
    let total = cluster.done(leader, Request::Query(()));
    assert!(matches!(total, Outcome::Answered(1)), "{total:?}");
}

#[test]
fn an_evicted_session_is_refused_and_its_commands_have_no_second_effect() {
    let mut cluster = Cluster::new();
    let session = cluster.open(1, 1);
    cluster.submit(1, session, 1, 0);
    for client in 2..=3 {
        cluster.open(1, client);
    }
    let again = cluster.submit(1, session, 1, 0);
    assert!(matches!(again, Outcome::Failed(Failure::SessionExpired)), "{again:?}");
    assert!(matches!(cluster.done(1, Request::Query(())), Outcome::Answered(1)));
}

#[test]
fn a_node_whose_own_session_was_evicted_opens_another() {
    let mut cluster = Cluster::new();
    cluster.add(1, 1);
    for client in 2..=3 {
        cluster.open(2, client);
    }
    let lost = cluster.done(1, Request::Command(Ask::Add(1)));
    assert!(matches!(lost, Outcome::Failed(Failure::SessionExpired)), "{lost:?}");
    assert_eq!(cluster.add(1, 1), 2);
}

#[test]
fn what_a_client_said_it_has_is_not_carried_out_again() {
    let mut cluster = Cluster::new();
    let session = cluster.open(1, 1);
    cluster.submit(1, session, 1, 0);
    cluster.submit(1, session, 2, 1);
    let again = cluster.submit(1, session, 1, 1);
    assert!(matches!(again, Outcome::Failed(Failure::OutOfOrder)), "{again:?}");
    assert!(matches!(cluster.done(1, Request::Query(())), Outcome::Answered(2)));
}

#[test]
fn commands_of_a_session_take_effect_in_order() {
    let mut cluster = Cluster::new();
    let session = cluster.open(1, 1);
    let later = Request::Submit {
        session,
        sequence: Sequence::new(2),
        floor: Sequence::new(0),
        command: Ask::Add(9),
    };
    let late = cluster.ask(1, later);
    cluster.pass(Duration::from_millis(100));
    assert!(cluster.hosts[0].outcomes.is_empty(), "the one before it is missing");
    assert!(matches!(cluster.submit(1, session, 1, 0), Outcome::Replied { reply: 1, .. }));
    cluster.pass(Duration::from_secs(1));
    let outcome = cluster.hosts[0].outcomes.remove(&late);
    assert!(matches!(outcome, Some(Outcome::Replied { reply: 10, .. })), "{outcome:?}");
}

#[test]
fn without_a_quorum_requests_end_as_unconfirmed_and_later_ones_still_work() {
    let mut cluster = Cluster::new();
    cluster.add(1, 1);
    cluster.cut = [2, 3].map(NodeId::new).to_vec();
    let asked = [Request::Command(Ask::Add(5)), Request::Query(()), Request::Open { client: 5 }];
    let tickets = asked.map(|request| cluster.ask(1, request));
    cluster.pass(Duration::from_secs(8));
    for ticket in tickets {
        let outcome = cluster.hosts[0].outcomes.remove(&ticket);
        assert!(matches!(outcome, Some(Outcome::Failed(Failure::Unconfirmed))), "{outcome:?}");
    }
    cluster.cut.clear();
    cluster.pass(Duration::from_secs(3));
    let total = cluster.add(1, 10);
    assert!(total == 11 || total == 16, "once at most: {total}");
}

#[test]
fn a_full_mailbox_refuses_and_hands_back() {
    let mut cluster = Cluster::new();
    cluster.cut = [1, 2, 3].map(NodeId::new).to_vec();
    let now = cluster.now;
    let mut refusals =
        (0..40).filter_map(|_| cluster.hosts[0].node.request(now, Request::Command(Ask::Add(1))).err());
    let refusal = refusals.next().expect("it is bounded");
    assert_eq!(refusal.reason, Reason::Busy);
    assert!(matches!(refusal.request, Request::Command(Ask::Add(1))));
}

#[test]
fn time_passes_through_the_log_on_every_node() {
    let mut cluster = Cluster::new();
    cluster.done(1, Request::Command(Ask::Alarm(Duration::from_secs(10))));
    cluster.pass(Duration::from_secs(8));
    assert!(cluster.hosts.iter().all(|host| host.notices.is_empty()));
    cluster.pass(Duration::from_secs(3));
    let rung: Vec<_> = cluster.hosts.iter().map(|host| host.notices.clone()).collect();
    assert!(rung.iter().all(|notices| notices.len() == 1 && *notices == rung[0]), "{rung:?}");
}

#[test]
fn time_goes_on_though_leaders_change_faster_than_the_alarm() {
    let mut cluster = Cluster::new();
    cluster.done(1, Request::Command(Ask::Alarm(Duration::from_secs(10))));
    for _ in 0..8 {
        cluster.pass(Duration::from_secs(3));
        let leader = cluster.leader();
        cluster.restart(leader);
    }
    assert!(cluster.hosts.iter().any(|host| !host.notices.is_empty()), "the alarm rang");
}

#[test]
fn all_nodes_have_the_same_state() {
    let mut cluster = Cluster::new();
    for round in 0..50 {
        cluster.add(round % 2 + 1, round);
    }
    cluster.pass(Duration::from_secs(1));
    let images: Vec<Vec<u8>> = cluster
        .hosts
        .iter()
        .map(|host| {
            let mut bytes = Vec::new();
            quorate::Image::write(&host.node.freeze(), &mut bytes).expect("a vector is never full");
            bytes
        })
        .collect();
    assert_eq!(images[0], images[1]);
    assert_eq!(images[1], images[2]);
}

#[test]
fn the_number_of_a_call_that_was_given_up_is_left_to_its_client() {
    let mut cluster = Cluster::new();
    cluster.add(1, 1);
    let session = cluster.open(2, 77);
    cluster.cut = vec![NodeId::new(1)];
    cluster.ask(1, Request::Command(Ask::Add(5)));
    let (sequence, floor, command) = (Sequence::new(1), Sequence::new(0), Ask::Add(1));
    let given_up = cluster.ask(1, Request::Submit { session, sequence, floor, command });
    cluster.pass(Duration::from_secs(8));
    let outcome = cluster.hosts[0].outcomes.remove(&given_up);
    assert!(matches!(outcome, Some(Outcome::Failed(Failure::Unconfirmed))), "{outcome:?}");
    cluster.cut.clear();
    cluster.pass(Duration::from_secs(3));
    let again = cluster.submit(2, session, 1, 0);
    assert!(matches!(again, Outcome::Replied { .. }), "{again:?}");
}

#[test]
fn what_ended_under_a_lost_session_does_not_come_back_under_the_next() {
    let mut cluster = Cluster::new();
    cluster.add(1, 1);
    let session = cluster.open(2, 77);
    // Its turn never comes, so it stays in front of what is asked later.
    let (sequence, floor, command) = (Sequence::new(2), Sequence::new(0), Ask::Add(1000));
    cluster.ask(1, Request::Submit { session, sequence, floor, command });
    cluster.pass(Duration::from_millis(50));
    cluster.cut = vec![NodeId::new(1)];
    let lost = cluster.ask(1, Request::Command(Ask::Add(5)));
    // Makes room for itself where node 1 has its session.
    let other = cluster.open(2, 78);
    assert_ne!(other, session);
    cluster.cut.clear();
    cluster.pass(Duration::from_secs(2));
    let outcome = cluster.hosts[0].outcomes.remove(&lost);
    assert!(matches!(outcome, Some(Outcome::Failed(Failure::SessionExpired))), "{outcome:?}");
    let next = cluster.ask(1, Request::Command(Ask::Add(100)));
    cluster.pass(Duration::from_millis(1500));
    let outcome = cluster.hosts[0].outcomes.remove(&next);
    assert!(matches!(outcome, Some(Outcome::Replied { reply: 101, .. })), "{outcome:?}");
    assert_eq!(cluster.hosts[0].node.application().total, 101, "what ended has no effect afterwards");
}

#[test]
fn a_lost_call_is_sent_again_though_others_go_on() {
    let mut cluster = Cluster::new();
    let follower = cluster.follower();
    let (quiet, busy) = (cluster.open(1, 1), cluster.open(1, 2));
    let (sequence, floor) = (Sequence::new(1), Sequence::new(0));
    let submit = Request::Submit { session: quiet, sequence, floor, command: Ask::Add(1) };
    let lost = cluster.ask(follower, submit);
    cluster.flying.clear();
    for number in 1..=20 {
        let (sequence, floor) = (Sequence::new(number), Sequence::new(number - 1));
        cluster.ask(follower, Request::Submit { session: busy, sequence, floor, command: Ask::Add(1) });
        cluster.pass(Duration::from_millis(100));
    }
    let outcome = cluster.hosts[follower as usize - 1].outcomes.remove(&lost);
    assert!(matches!(outcome, Some(Outcome::Replied { .. })), "{outcome:?}");
}

#[test]
fn a_tick_that_finds_no_room_does_not_keep_the_leader_awake() {
    let mut cluster = Cluster::new();
    cluster.done(1, Request::Command(Ask::Alarm(Duration::from_secs(2))));
    let leader = cluster.leader();
    let others = (1..=3).filter(|&id| id != leader).map(NodeId::new);
    cluster.cut = others.collect();
    cluster.now = cluster.now.after(Duration::from_millis(900));
    for client in 0..28 {
        cluster.ask(leader, Request::Open { client });
    }
    let (host, end) = (leader as usize - 1, cluster.now.after(Duration::from_millis(200)));
    cluster.now = end;
    assert_eq!(cluster.hosts[host].node.status().role, Role::Leader);
    cluster.hosts[host].node.handle(end, Input::Wake);
    cluster.drain(leader);
    assert!(cluster.hosts[host].node.deadline() > Some(end), "there is nothing to do now");
}

#[test]
fn an_image_is_written_only_when_it_lets_go_of_much() {
    let mut cluster = Cluster::new();
    let leader = cluster.leader();
    cluster.pass(Duration::from_secs(1));
    for client in 0..26 {
        cluster.ask(leader, Request::Open { client });
    }
    cluster.pass(Duration::from_secs(1));
    let images = cluster.hosts[leader as usize - 1].images;
    assert!((1..=3).contains(&images), "{images} images for 26 entries");
}

#[test]
fn what_a_node_alone_is_asked_is_carried_out_at_once_with_the_least_room() {
    type Small<const CALLS: usize> = Replicated<Sum, Heap<1, 32, 16, CALLS>, 2, 8>;
    fn node<const CALLS: usize>() -> (Small<CALLS>, Instant) {
        let (id, now) = (NodeId::new(1), Instant::default());
        let stored = Stored { records: std::iter::empty(), snapshots: &[] };
        let mut node = Small::restore(&Settings::new(id, &[id]), 1, now, stored).expect("good settings");
        let now = node.deadline().expect("it stands for election");
        node.handle(now, Input::Wake);
        (node, now)
    }
    fn ended<const CALLS: usize>(node: &mut Small<CALLS>, now: Instant) -> Vec<Ticket> {
        let mut ended = Vec::new();
        while let Some(output) = node.poll() {
            match output {
                Output::Save(write) => {
                    let receipt = write.split().1.assert_durable();
                    node.handle(now, Input::Saved(receipt));
                }
                Output::Send { .. } => {}
                Output::Event(event) => {
                    ended.extend(Small::<CALLS>::outcome(event).ok().map(|(ticket, _)| ticket))
                }
            }
        }
        ended
    }
    // One place is kept for opening the own session.
    let (mut two, now) = node::<2>();
    ended(&mut two, now);
    for _ in 0..5 {
        let ticket = two.request(now, Request::Command(Ask::Add(1))).expect("there is room");
        let refused = two.request(now, Request::Command(Ask::Add(2))).expect_err("there is no room");
        assert!(matches!((refused.reason, refused.request), (Reason::Busy, Request::Command(Ask::Add(2)))));
        assert_eq!(ended(&mut two, now), [ticket]);
    }
    let stored = Stored { records: std::iter::empty(), snapshots: &[] };
    let id = NodeId::new(1);
    let none = Small::<1>::restore(&Settings::new(id, &[id]), 1, now, stored);
    assert!(matches!(none.err(), Some(quorate::Fault::Settings(_))), "one place is too few for any command");
}

/// Polls a node alone until it is dry. `images` are those its store holds; a restart lets go of all but one. Tells how
/// many restarts there were.
fn carry_out(node: &mut Node, now: Instant, images: &mut Vec<SnapshotId>) -> usize {
    let mut restarts = 0;
    loop {
        match node.poll() {
            None => return restarts,
            Some(Output::Save(write)) => {
                let (record, pending) = write.split();
                if let Place::Restart { keep } = Node::place(&record) {
                    assert!(
                        keep.is_none_or(|keep| images.contains(&keep)),
                        "the store has let go of {keep:?}"
                    );
                    images.retain(|image| Some(*image) == keep);
                    restarts += 1;
                }
                node.handle(now, Input::Saved(pending.assert_durable()));
            }
            Some(Output::Send { .. }) => {}
            Some(Output::Event(event)) => {
                if let Some(Errand::Write { at, image, .. }) = Node::errand(&event) {
                    let mut bytes = Vec::new();
                    image.write(&mut bytes).expect("a vector is never full");
                    images.push(SnapshotId::new(at, bytes.len() as u64));
                }
            }
        }
    }
}

/// A node alone that wants an image written, and when.
fn with_a_long_log() -> (Node, Instant, Vec<SnapshotId>) {
    let id = NodeId::new(1);
    let (now, stored) = (Instant::default(), Stored { records: std::iter::empty(), snapshots: &[] });
    let mut node = Node::restore(&Settings::new(id, &[id]), 1, now, stored).expect("good");
    let now = node.deadline().expect("it stands for election");
    node.handle(now, Input::Wake);
    let mut images = Vec::new();
    for client in 0..20 {
        carry_out(&mut node, now, &mut images);
        node.request(now, Request::Open { client }).expect("there is room");
    }
    carry_out(&mut node, now, &mut images);
    assert_eq!(images.len(), 1);
    (node, now, images)
}

#[test]
fn an_image_that_was_turned_away_is_wanted_again_at_once() {
    let (mut node, now, mut images) = with_a_long_log();
    carry_out(&mut node, now, &mut images);
    assert_eq!(images.len(), 1, "as far as it knows, it is being written");
    node.finish(now, quorate::Done::TurnedAway(GroupId::default())).expect("nothing to read");
    carry_out(&mut node, now, &mut images);
    assert_eq!(images.len(), 2);
}

#[test]
fn an_image_that_is_being_written_is_not_let_go_of_by_a_restatement() {
    let (mut node, now, mut images) = with_a_long_log();
    let [image] = images[..] else { panic!("{} images", images.len()) };

    node.restate(now);
    assert_eq!(carry_out(&mut node, now, &mut images), 0, "what comes of the image is a restart as well");
    node.finish(now, quorate::Done::Written(image)).expect("it is kept");
    assert_eq!((carry_out(&mut node, now, &mut images), &images[..]), (1, &[image][..]));
    node.restate(now);
    assert_eq!((carry_out(&mut node, now, &mut images), &images[..]), (1, &[image][..]));
}

#[test]
fn a_log_that_would_be_full_before_it_is_compacted_is_refused() {
    let stored = || Stored { records: std::iter::empty(), snapshots: &[] };
    let restore = |settings: &Settings<Space>| Node::restore(settings, 1, Instant::default(), stored());
    assert!(restore(&settings(1)).is_ok());
    let entries = Settings { snapshot_entries: 29, ..settings(1) };
    assert!(matches!(restore(&entries), Err(quorate::Fault::Settings(_))), "28 may be proposed");
    let bytes = Settings { snapshot_bytes: (32 << 20) / 8 * 7, ..settings(1) };
    assert!(matches!(restore(&bytes), Err(quorate::Fault::Settings(_))), "a large command may not fit");
}
