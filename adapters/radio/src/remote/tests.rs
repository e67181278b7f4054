use super::*;
use quorate::lock::{Command, Name, Reply, SessionId, Token, Ttl};
use quorate::{Instant, NodeId};
use std::time::Duration;

const NODES: [NodeId; 3] = [NodeId::new(1), NodeId::new(2), NodeId::new(3)];
const CLIENT: NodeId = NodeId::new(11);
const TTL: Duration = Duration::from_secs(3);

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

fn holder() -> Holder<3> {
    let name = Name::new("pump").expect("short");
    let mut holder = Holder::new(&NODES, name, Ttl::new(TTL).expect("fits"), Patience::default(), 1, 5);
    holder.want(true);
    holder
}

/// A desk that took an ask in and was answered.
fn answer(client: NodeId, ask: &[u8], reply: Reply) -> std::vec::Vec<u8> {
    let mut desk = Desk::<u8, 1, 128>::default();
    desk.take(client, ask);
    desk.next_ask().expect("it is new");
    desk.answer(client, |answer| Answered::Replied(reply).put(answer));
    desk.next_answer().expect("it fits").1.to_vec()
}

/// Lets the holder ask, and answers it.
fn serve(holder: &mut Holder<3>, now: Instant, reply: Reply) -> (Command, Option<Progress>) {
    let (to, ask) = holder.due(now).expect("it asks");
    let mut body = ask;
    let _number: u64 = codec::take(&mut body).expect("a number");
    let command = codec::take_all(body).expect("a command");
    let answer = answer(CLIENT, ask, reply);
    (command, holder.take(now, to, &answer))
}

fn granted() -> Holder<3> {
    let mut holder = holder();
    let session = SessionId::new(4);
    serve(&mut holder, at(0), Reply::Opened { session });
    let (_, progress) = serve(&mut holder, at(0), Reply::Granted { token: Token::new(5) });
    assert_eq!(progress, Some(Progress::Granted(Token::new(5))));
    holder
}

#[test]
fn an_ask_that_is_not_answered_is_asked_again_and_then_of_the_next_node() {
    let mut asker = Asker::<3, 16>::new(&NODES, Patience::default(), 1, 3);
    asker.ask(at(0), |_| Ok(())).expect("it fits");
    let mut asked = std::vec::Vec::new();
    let tries = usize::from(Patience::default().tries);
    for _ in 0..3 * tries {
        let now = asker.deadline().expect("it waits for an answer");
        asked.push(asker.due(now).expect("due").0);
        assert!(asker.due(now).is_none(), "not twice");
    }
    assert!(asked.chunks(tries).all(|tries| tries.iter().all(|node| *node == tries[0])), "{asked:?}");
    asked.dedup();
    asked.sort();
    assert_eq!(asked, NODES);
}

#[test]
fn who_is_referred_to_another_node_asks_it_next() {
    let mut asker = Asker::<3, 16>::new(&NODES, Patience::default(), 1, 3);
    for (leader, other) in [(NODES[0], NODES[1]), (NODES[1], NODES[2]), (NODES[2], NODES[0])] {
        asker.ask(at(0), |_| Ok(())).expect("it fits");
        let mut answer = asker.due(at(0)).expect("due").1.to_vec();
        answer.extend([1, leader.get() as u8]);
        assert!(asker.take(NodeId::new(9), &answer).is_none(), "it was not asked");
        assert_eq!(asker.take(other, &answer), Some(&[][..]));
        asker.ask(at(0), |_| Ok(())).expect("it fits");
        assert_eq!(asker.due(at(0)).expect("due").0, leader);
    }
}

#[test]
fn a_retry_is_answered_and_not_carried_out_again() {
    let mut asker = Asker::<3, 16>::new(&NODES, Patience::default(), 1, 3);
    let mut desk = Desk::<u8, 2, 16>::default();
    asker.ask(at(0), |ask| codec::put(&9_u8, ask)).expect("it fits");
    let ask = asker.due(at(0)).expect("due").1.to_vec();
    desk.take(CLIENT, &ask);
    assert_eq!(desk.next_ask(), Some((CLIENT, &[9][..])));
    desk.begin(CLIENT, 77);
    desk.take(CLIENT, &ask);
    assert_eq!(desk.next_ask(), None, "it is being carried out");
    desk.end(77, |answer| codec::put(&1_u8, answer));
    let answer = desk.next_answer().expect("it fits").1.to_vec();
    assert_eq!(desk.next_answer(), None, "once");
    desk.take(CLIENT, &ask);
    assert_eq!(desk.next_ask(), None);
    assert_eq!(desk.next_answer(), Some((CLIENT, &answer[..])));
    assert_eq!(asker.take(NODES[0], &answer), Some(&[1][..]));
    assert_eq!(asker.take(NODES[0], &answer), None, "nothing is asked");
}

#[test]
fn an_ask_that_was_not_taken_up_is_new_again() {
    let mut desk = Desk::<u8, 2, 16>::default();
    for _ in 0..2 {
        desk.take(CLIENT, &[1, 5]);
        assert_eq!(desk.next_ask(), Some((CLIENT, &[5][..])));
    }
}

#[test]
fn what_a_client_asked_before_is_not_carried_out_after_what_it_asked_since() {
    let mut desk = Desk::<u8, 2, 16>::default();
    desk.take(CLIENT, &[2, 0]);
    desk.next_ask().expect("it is new");
    desk.begin(CLIENT, 1);
    desk.take(CLIENT, &[1, 0]);
    desk.take(CLIENT, &[]);
    assert_eq!(desk.next_ask(), None);
    assert_eq!(desk.dropped(), 2);
    desk.take(CLIENT, &[3, 7]);
    assert_eq!(desk.next_ask(), Some((CLIENT, &[7][..])));
    desk.end(1, |_| Ok(()));
    assert_eq!(desk.next_answer(), None, "nobody waits for what was asked before");
}

#[test]
fn nobody_is_answered_what_another_asked_after_the_machine_was_restored() {
    let mut desk = Desk::<u8, 2, 16>::default();
    let other = NodeId::new(12);
    for client in [CLIENT, other] {
        // Each is the first ask of a life, so it has the same ticket.
        desk.take(client, &[1, 5]);
        desk.next_ask().expect("it is new");
        desk.begin(client, 1);
    }
    desk.end(1, |answer| codec::put(&7_u8, answer));
    assert_eq!(desk.next_answer(), Some((other, &[1, 0, 7][..])));
    assert_eq!(desk.next_answer(), None);
    desk.take(CLIENT, &[1, 5]);
    assert_eq!(desk.next_ask(), Some((CLIENT, &[5][..])), "it is asked again");
}

#[test]
fn the_client_that_was_silent_for_longest_makes_room_unless_it_waits() {
    let mut desk = Desk::<u8, 2, 16>::default();
    let clients = [21, 22, 23, 24].map(NodeId::new);
    for (client, ticket) in clients.iter().zip([Some(1), None, Some(2)]) {
        desk.take(*client, &[1]);
        assert_eq!(desk.next_ask(), Some((*client, &[][..])));
        ticket.into_iter().for_each(|ticket| desk.begin(*client, ticket));
    }
    desk.take(clients[3], &[1]);
    assert_eq!(desk.next_ask(), None, "the others wait");
    assert_eq!(desk.dropped(), 1);
}

#[test]
fn a_lease_counts_from_when_its_renewal_was_first_sent() {
    let mut holder = granted();
    assert_eq!(holder.held(at(2_900)), Some(Token::new(5)));
    assert!(holder.due(at(999)).is_none());
    assert!(holder.due(at(1_000)).is_some(), "after a third");
    let (command, progress) = serve(&mut holder, at(2_500), Reply::Renewed);
    assert_eq!(command, Command::Renew { session: SessionId::new(4) });
    assert_eq!(progress, Some(Progress::Renewed));
    assert_eq!(holder.held(at(3_900)), Some(Token::new(5)));
    assert_eq!(holder.held(at(3_980)), None, "in jeopardy: three seconds after one second, less a hundredth");
    assert_eq!(holder.believed(), Some(Token::new(5)));
}

#[test]
fn a_session_that_ended_takes_the_lock_with_it() {
    let mut holder = granted();
    let (_, progress) = serve(&mut holder, at(5_000), Reply::SessionExpired);
    assert_eq!(progress, Some(Progress::Lost(Some(Token::new(5)))));
    assert_eq!((holder.believed(), holder.session()), (None, None));
    let (command, _) = serve(&mut holder, at(5_000), Reply::Opened { session: SessionId::new(9) });
    assert!(matches!(command, Command::Open { .. }));
}

#[test]
fn who_waits_in_line_asks_again_after_a_while() {
    let mut holder = holder();
    serve(&mut holder, at(0), Reply::Opened { session: SessionId::new(4) });
    let (_, progress) = serve(&mut holder, at(0), Reply::Queued { ahead: 1 });
    assert_eq!(progress, Some(Progress::Queued(1)));
    assert!(holder.due(at(1)).is_none());
    assert_eq!(holder.deadline(), Some(at(250)));
    assert!(holder.due(at(250)).is_some());
}

#[test]
fn who_is_late_with_each_renewal_asks_for_the_lock_all_the_same() {
    let mut holder = holder();
    let mut asked = std::vec::Vec::new();
    for round in 0..4 {
        // Each answer takes longer than a third of the lease.
        holder.due(at(round * 1_500)).expect("it asks");
        let now = at((round + 1) * 1_500 - 1);
        let (to, ask) = loop {
            if let Some((to, ask)) = holder.due(now) {
                break (to, ask.to_vec());
            }
        };
        let mut body = &ask[..];
        let _number: u64 = codec::take(&mut body).expect("a number");
        let command: Command = codec::take_all(body).expect("a command");
        let reply = match command {
            Command::Open { .. } => Reply::Opened { session: SessionId::new(4) },
            Command::Renew { .. } => Reply::Renewed,
            _ => Reply::Queued { ahead: 1 },
        };
        asked.push(reply.clone());
        holder.take(now, to, &answer(CLIENT, &ask, reply));
    }
    assert!(asked.contains(&Reply::Queued { ahead: 1 }), "{asked:?}");
}

#[test]
fn a_lock_that_is_no_longer_wanted_is_given_back() {
    let mut holder = granted();
    holder.want(false);
    let (command, progress) = serve(&mut holder, at(10), Reply::Released);
    assert!(matches!(command, Command::Release { token, .. } if token == Token::new(5)));
    assert_eq!(progress, Some(Progress::Released));
    assert_eq!(holder.believed(), None);
}

#[test]
fn who_no_longer_waits_in_line_does_not_keep_its_place_for_ever() {
    let mut holder = holder();
    serve(&mut holder, at(0), Reply::Opened { session: SessionId::new(4) });
    serve(&mut holder, at(0), Reply::Queued { ahead: 1 });
    holder.want(false);
    // Renewed, the session would be granted the lock one day, and nobody would give it back.
    assert_eq!(holder.deadline(), None);
    assert!(holder.due(at(2_900)).is_none());
    holder.want(true);
    let (command, progress) = serve(&mut holder, at(9_000), Reply::SessionExpired);
    assert_eq!(command, Command::Renew { session: SessionId::new(4) });
    assert_eq!(progress, Some(Progress::Lost(None)));
    let (command, _) = serve(&mut holder, at(9_000), Reply::Opened { session: SessionId::new(5) });
    assert!(matches!(command, Command::Open { .. }));
}

#[test]
fn a_client_that_asked_millions_of_things_is_heard_in_its_next_life() {
    let mut desk = Desk::<u8, 1, 16>::default();
    let mut asker = Asker::<3, 16>::new(&NODES, Patience::default(), 1, 3);
    for _ in 0..2_000_000 {
        asker.ask(at(0), |_| Ok(())).expect("it fits");
    }
    desk.take(CLIENT, asker.due(at(0)).expect("due").1);
    assert!(desk.next_ask().is_some());
    let mut asker = Asker::<3, 16>::new(&NODES, Patience::default(), 2, 3);
    asker.ask(at(0), |_| Ok(())).expect("it fits");
    desk.take(CLIENT, asker.due(at(0)).expect("due").1);
    assert!(desk.next_ask().is_some(), "it is not taken for old");
}

#[test]
fn asks_and_answers_are_these_bytes() {
    let mut holder = holder();
    let (_, ask) = holder.due(at(0)).expect("it asks");
    // number 1 << 32 | 1; Open; client 5; 3,000,000 µs
    assert_eq!(ask, [0x81, 0x80, 0x80, 0x80, 0x10, 0, 5, 0xC0, 0x8D, 0xB7, 0x01]);
    let mut desk = Desk::<u8, 1, 16>::default();
    desk.refer(Some(NODES[2]));
    desk.take(CLIENT, &[9]);
    let granted = Answered::Replied(Reply::Granted { token: Token::new(7) });
    desk.answer(CLIENT, |answer| granted.put(answer));
    assert_eq!(desk.next_answer(), Some((CLIENT, &[9, 1, 3, 0, 3, 7][..])));
    assert_eq!(Answered::take(&[0, 3, 7]), Ok(granted));
    assert!(Answered::<Reply>::take(&[]).is_err() && Answered::<Reply>::take(&[1, 1]).is_err());
}
