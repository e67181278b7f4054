//! What concerns several groups.

use crate::support::{Client, Served, serve};
use quorate::keyspace::{Answer, Command, Part, Query, Reply};
use quorate::lock::{self, Name, SessionId, Wait};
use quorate::raft::Status;
use quorate::{GroupId, TxId};
use quorate_server::{Forced, InDoubt, Placement, Settled, Single, Store, Unavailable};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GROUPS: u64 = 4;

async fn four() -> (Served, Arc<Single>, Client) {
    let store = Arc::new(Single::of(GROUPS).still());
    let served = serve(Arc::clone(&store), 100).await;
    let client = Client::connect(&served).await;
    (served, store, client)
}

/// Names that begin so, one in each group.
fn names(prefix: &str) -> Vec<String> {
    let placement = Placement::new(GROUPS);
    let name = |group| {
        let mut names = (0..).map(|number| format!("{prefix}{number}"));
        names.find(|name| placement.group(name.as_bytes()) == group).expect("there are enough names")
    };
    placement.groups().map(name).collect()
}

/// How far each group has come.
async fn entries(store: &Single) -> Vec<u64> {
    let groups = store.status().await.expect("it runs");
    groups.iter().map(|(_, status)| status.last.get()).collect()
}

#[tokio::test]
async fn what_names_keys_of_several_groups_answers_as_of_one() {
    let (_served, _, mut client) = four().await;
    let keys = names("k");
    for (key, value) in keys.iter().zip(1..) {
        client.converse(&[(&format!("SET {key} {value}"), "OK")]).await;
    }
    let [a, b, c, d] = &keys[..] else { panic!("four groups") };
    let all = keys.join(" ");
    client
        .converse(&[
            (&format!("MGET {d} none {b} {a} {b}"), "[\"4\" nil \"2\" \"1\" \"2\"]"),
            (&format!("EXISTS {all} {a} none"), "5"),
            ("DBSIZE", "5"),
            (&format!("DEL {a} {c} none {a}"), "2"),
            (&format!("MGET {all}"), "[nil \"2\" nil \"4\"]"),
        ])
        .await;
}

#[tokio::test]
async fn a_transaction_over_groups_takes_effect_whole_and_answers_in_order() {
    let (_served, _, mut client) = four().await;
    let keys = names("k");
    let [a, b, c, d] = &keys[..] else { panic!("four groups") };
    client.converse(&[("MULTI", "OK")]).await;
    for step in [
        format!("SET {a} 1"),
        "PING".into(),
        format!("INCR {a}"),
        format!("INCRBY {b} 7"),
        format!("MGET {a} {b} {c}"),
    ] {
        client.converse(&[(&step, "QUEUED")]).await;
    }
    client.converse(&[("EXEC", "[OK PONG 2 7 [\"2\" \"7\" nil]]")]).await;
    client
        .converse(&[
            ("MULTI", "OK"),
            (&format!("SET {c} v"), "QUEUED"),
            (&format!("INCR {c}"), "QUEUED"),
            (&format!("INCR {d}"), "QUEUED"),
            ("EXEC", "[OK ERR value is not an integer or out of range 1]"),
        ])
        .await;
}

#[tokio::test]
async fn what_was_watched_in_any_group_keeps_a_transaction_from_all() {
    let (served, _, mut client) = four().await;
    let mut other = Client::connect(&served).await;
    let keys = names("k");
    let [a, b, c, _] = &keys[..] else { panic!("four groups") };
    let (watch, set_a, set_b) = (format!("WATCH {a} {c}"), format!("SET {a} 1"), format!("SET {b} 1"));
    let transaction = [(watch.as_str(), "OK"), ("MULTI", "OK"), (&set_a, "QUEUED"), (&set_b, "QUEUED")];
    client.converse(&transaction).await;
    other.converse(&[(&format!("SET {c} 1"), "OK")]).await;
    client.converse(&[("EXEC", "nil"), (&format!("MGET {a} {b}"), "[nil nil]")]).await;
    client.converse(&transaction).await;
    client.converse(&[("EXEC", "[OK OK]"), (&watch, "OK"), ("MULTI", "OK"), ("EXEC", "[]")]).await;
    client.converse(&[(&watch, "OK")]).await;
    other.converse(&[(&format!("DEL {c}"), "1")]).await;
    client.converse(&[("MULTI", "OK"), ("EXEC", "nil")]).await;
}

#[tokio::test]
async fn a_script_over_groups_takes_all_its_locks_or_none() {
    let (_served, _, mut client) = four().await;
    let keys = names("lock");
    let (create, extend, release) = (
        "EVALSHA 96da70f7716f27d278a5218544df37fd8b0a5e4c",
        "EVALSHA aed6f382e410db8ba7926d4e5e9aab410bf2a78a",
        "EVALSHA e4612211c9f8f51c257e26e056b0a654b3187242",
    );
    let (all, some) = (keys.join(" "), keys[..2].join(" "));
    client
        .converse(&[
            (&format!("SET {} other PX 60000", keys[2]), "OK"),
            (&format!("{create} 4 {all} mine 100000"), "0"),
            (&format!("EXISTS {some}"), "0"),
            (&format!("DEL {}", keys[2]), "1"),
            (&format!("{create} 4 {all} mine 100000"), "4"),
            (&format!("{extend} 4 {all} mine 50000"), "4"),
            (&format!("TTL {}", keys[3]), "50"),
            (&format!("SET {} other KEEPTTL", keys[3]), "OK"),
            (&format!("{extend} 4 {all} mine 90000"), "0"),
            (&format!("TTL {}", keys[0]), "50"),
            (&format!("{release} 4 {all} mine"), "3"),
        ])
        .await;
}

#[tokio::test]
async fn what_groups_cannot_do_each_for_itself_is_refused_inside_multi() {
    let (_served, _, mut client) = four().await;
    let keys = names("lock");
    let create = "EVALSHA 96da70f7716f27d278a5218544df37fd8b0a5e4c";
    let aborted = "EXECABORT Transaction discarded because of previous errors.";
    client
        .converse(&[
            ("MULTI", "OK"),
            (
                &format!("{create} 2 {} {} mine 100000", keys[0], keys[1]),
                "ERR this script's keys are in several groups, which is not possible inside MULTI: run it by itself, \
                 or give its keys the same {tag}",
            ),
            ("EXEC", aborted),
            ("MULTI", "OK"),
            ("DBSIZE", "ERR DBSIZE is not possible inside MULTI: it counts the keys of all groups; ask for it outside"),
            ("EXEC", aborted),
            // Of one group each, the transaction may span them.
            ("MULTI", "OK"),
            (&format!("{create} 1 {} mine 100000", keys[0]), "QUEUED"),
            (&format!("{create} 1 {} mine 100000", keys[1]), "QUEUED"),
            (&format!("{create} 1 {} other 100000", keys[1]), "QUEUED"),
            ("EXEC", "[1 1 0]"),
        ])
        .await;
}

#[tokio::test]
async fn what_concerns_one_group_is_asked_of_no_other() {
    let (_served, store, mut client) = four().await;
    // The node announces itself as it starts.
    while client.ask("EXISTS quorate:address:1").await != "1" {
        tokio::task::yield_now().await;
    }
    let before = entries(&store).await;
    let group = Placement::new(GROUPS).group(b"{one}");
    client
        .converse(&[
            ("SET {one}a 1", "OK"),
            ("MGET {one}a {one}b", "[\"1\" nil]"),
            ("WATCH {one}b", "OK"),
            ("MULTI", "OK"),
            ("INCR {one}a", "QUEUED"),
            ("EXEC", "[2]"),
        ])
        .await;
    for ((was, is), number) in before.iter().zip(entries(&store).await).zip(0..) {
        assert_eq!(*was != is, GroupId::new(number) == group, "group {number}: {was} and {is}");
    }
}

/// Connects, and opens a session of this length.
async fn open(served: &Served, number: u64, millis: u64) -> (Client, String) {
    let mut client = Client::connect(served).await;
    let session = client.ask(&format!("LOCK.OPEN {number} {millis}")).await;
    (client, session)
}

#[tokio::test]
async fn a_session_holds_locks_of_all_groups_through_any_node_and_loses_them_together() {
    let store = Arc::new(Single::of(GROUPS).still());
    // Two nodes: what one knows of the session the other has to look up.
    let (one, two) = (serve(Arc::clone(&store), 100).await, serve(Arc::clone(&store), 100).await);
    let (mut ann, session) = open(&one, 7, 10_000).await;
    let (mut bob, other) = open(&two, 8, 1_000_000).await;
    let mut tokens = Vec::new();
    for name in names("x") {
        let token = ann.ask(&format!("LOCK.ACQUIRE {session} {name} 0")).await;
        assert!(token.parse::<u64>().is_ok(), "{token}");
        bob.converse(&[(&format!("LOCK.ACQUIRE {session} {name} 0"), &token)]).await;
        bob.converse(&[(&format!("LOCK.ACQUIRE {other} {name} 0"), "nil")]).await;
        tokens.push((name, token));
    }
    // Renewals by the second node keep what was acquired at the first.
    for _ in 0..3 {
        store.pass(Duration::from_secs(6));
        bob.converse(&[(&format!("LOCK.RENEW {session}"), "OK")]).await;
    }
    store.pass(Duration::from_secs(6));
    bob.converse(&[("LOCK.OPEN 7 10000", &session)]).await;
    store.pass(Duration::from_secs(6));
    for (name, token) in &tokens {
        ann.converse(&[(&format!("LOCK.ACQUIRE {session} {name} 0"), token)]).await;
    }
    let (name, token) = tokens.pop().expect("four");
    bob.converse(&[(&format!("LOCK.RELEASE {session} {name} {token}"), "1")]).await;
    ann.converse(&[(&format!("LOCK.RELEASE {session} {name} {token}"), "0")]).await;
    store.pass(Duration::from_secs(10));
    let gone = ann.ask(&format!("LOCK.RENEW {session}")).await;
    assert!(gone.starts_with("NOSESSION"), "{gone}");
    for (name, token) in &tokens {
        let next = bob.ask(&format!("LOCK.ACQUIRE {other} {name} 0")).await;
        assert!(next.parse::<u64>().expect("a token") > token.parse::<u64>().expect("a token"));
    }
}

#[tokio::test]
async fn a_session_that_is_opened_again_lasts_as_long_as_it_was_told_last_in_all_groups() {
    let (served, store, _) = four().await;
    let (mut ann, session) = open(&served, 7, 1_000).await;
    for name in names("x") {
        ann.ask(&format!("LOCK.ACQUIRE {session} {name} 0")).await;
    }
    ann.converse(&[("LOCK.OPEN 7 60000", &session)]).await;
    store.pass(Duration::from_secs(50));
    ann.converse(&[(&format!("LOCK.RENEW {session}"), "OK"), ("LOCK.OPEN 7 1000", &session)]).await;
    store.pass(Duration::from_secs(62));
    // It is another one, of which nothing is held.
    let another = ann.ask("LOCK.OPEN 7 1000").await;
    assert_ne!(another, session);
    let (mut bob, other) = open(&served, 8, 1_000).await;
    for name in names("x") {
        let token = bob.ask(&format!("LOCK.ACQUIRE {other} {name} 0")).await;
        assert!(token.parse::<u64>().is_ok(), "{token}");
    }
}

#[tokio::test]
async fn a_session_that_is_closed_leaves_nothing_in_any_group() {
    let store = Arc::new(Single::of(GROUPS).still());
    let (one, two) = (serve(Arc::clone(&store), 100).await, serve(Arc::clone(&store), 100).await);
    let (mut ann, session) = open(&one, 7, 1_000_000).await;
    let (mut bob, other) = open(&two, 8, 1_000_000).await;
    for name in names("x") {
        ann.ask(&format!("LOCK.ACQUIRE {session} {name} 0")).await;
    }
    bob.converse(&[(&format!("LOCK.CLOSE {session}"), "OK"), (&format!("LOCK.CLOSE {session}"), "OK")]).await;
    for name in names("x") {
        let token = bob.ask(&format!("LOCK.ACQUIRE {other} {name} 0")).await;
        assert!(token.parse::<u64>().is_ok(), "{token}");
        let gone = ann.ask(&format!("LOCK.ACQUIRE {session} {name} 0")).await;
        assert!(gone.starts_with("NOSESSION"), "{gone}");
    }
}

#[tokio::test]
async fn a_session_that_ended_in_one_group_has_ended() {
    for ended in 0..GROUPS {
        let store = Arc::new(Single::of(GROUPS).still());
        let served = serve(Arc::clone(&store), 100).await;
        let (mut ann, session) = open(&served, 7, 1_000_000).await;
        let (mut bob, other) = open(&served, 8, 1_000_000).await;
        for name in names("x") {
            ann.ask(&format!("LOCK.ACQUIRE {session} {name} 0")).await;
        }
        // As if it had not been renewed there.
        let name = quorate::lock::Name::new(&names("x")[ended as usize]).expect("short enough");
        let owner = store.look(GroupId::new(ended), quorate::lock::Query::Owner { name }).await;
        let Ok(quorate::lock::Answer::Owner(Some(owner))) = owner else { panic!("it is held: {owner:?}") };
        let close = quorate::lock::Command::Close { session: owner.session };
        store.lock(GroupId::new(ended), close).await.expect("it runs");
        let gone = ann.ask(&format!("LOCK.RENEW {session}")).await;
        assert!(gone.starts_with("NOSESSION"), "{gone}");
        for name in names("x") {
            let token = bob.ask(&format!("LOCK.ACQUIRE {other} {name} 0")).await;
            assert!(token.parse::<u64>().is_ok(), "{token}");
        }
    }
}

#[tokio::test]
async fn the_names_by_which_the_server_keeps_sessions_are_refused() {
    let (served, _, _) = four().await;
    let (mut ann, session) = open(&served, 7, 10_000).await;
    ann.send_parts(&["LOCK.ACQUIRE", &session, "\0quorate:branch:x"]).await;
    assert_eq!(ann.reply().await, "ERR names that begin with \\0quorate:branch: are the server's own");
}

/// A store that does something just before a branch is noted, once.
struct Noting<F> {
    store: Arc<Single>,
    before: Mutex<Option<F>>,
}

impl<F: Future<Output = ()> + Send + 'static> Store for Noting<F> {
    fn groups(&self) -> u64 {
        self.store.groups()
    }

    async fn lock(&self, group: GroupId, command: lock::Command) -> Result<lock::Reply, Unavailable> {
        if matches!(&command, lock::Command::Acquire { .. }) {
            let before = self.before.lock().expect("no test panicked here").take();
            if let Some(before) = before {
                before.await;
            }
        }
        self.store.lock(group, command).await
    }

    async fn acquire(
        &self,
        group: GroupId,
        session: SessionId,
        name: Name,
        wait: Wait,
    ) -> Result<lock::Reply, Unavailable> {
        self.store.acquire(group, session, name, wait).await
    }

    async fn look(&self, group: GroupId, query: lock::Query) -> Result<lock::Answer, Unavailable> {
        self.store.look(group, query).await
    }

    async fn command(
        &self,
        group: GroupId,
        command: Command,
    ) -> Result<impl Future<Output = Result<Reply, Unavailable>> + use<F>, Unavailable> {
        let reply = self.store.command(group, command).await?.await;
        Ok(std::future::ready(reply))
    }

    async fn transact(&self, parts: Vec<(GroupId, Part)>) -> Result<Settled, Unavailable> {
        self.store.transact(parts).await
    }

    async fn query(&self, group: GroupId, query: Query) -> Result<Answer, Unavailable> {
        self.store.query(group, query).await
    }

    async fn peek(&self, group: GroupId, query: Query) -> Result<Answer, Unavailable> {
        self.store.peek(group, query).await
    }

    async fn status(&self) -> Result<Vec<(GroupId, Status)>, Unavailable> {
        self.store.status().await
    }

    async fn in_doubt(&self) -> Result<Vec<InDoubt>, Unavailable> {
        self.store.in_doubt().await
    }

    async fn force(&self, group: GroupId, tx: TxId, commit: bool) -> Result<Forced, Unavailable> {
        self.store.force(group, tx, commit).await
    }
}

#[tokio::test]
async fn a_lock_lasts_as_long_as_a_renewal_that_was_sent_while_its_branch_was_opened() {
    lasts_as_told_meanwhile("LOCK.RENEW SESSION", "OK", 9).await;
    lasts_as_told_meanwhile("LOCK.OPEN 7 100000", "SESSION", 99).await;
}

/// What is told while a branch is opened counts for the lock, for so many seconds.
async fn lasts_as_told_meanwhile(told: &str, reply: &str, seconds: u64) {
    let store = Arc::new(Single::of(GROUPS).still());
    let two = serve(Arc::clone(&store), 100).await;
    let (mut bob, other) = open(&two, 8, 1_000_000).await;
    for name in names("x") {
        let (mut ann, session) = open(&two, 7, 10_000).await;
        let [told, reply] = [told, reply].map(|words| words.replace("SESSION", &session));
        let single = Arc::clone(&store);
        let mut renewing = Client::connect(&two).await;
        let before = async move {
            single.pass(Duration::from_secs(6));
            renewing.converse(&[(&told, &reply)]).await;
        };
        let noting = Arc::new(Noting { store: Arc::clone(&store), before: Mutex::new(Some(before)) });
        let one = serve(Arc::clone(&noting), 100).await;
        let token = Client::connect(&one).await.ask(&format!("LOCK.ACQUIRE {session} {name} 0")).await;
        assert!(token.parse::<u64>().is_ok(), "{token}");
        // At home there is no branch, so nothing was told.
        let told = noting.before.lock().expect("no test panicked here").is_none();
        store.pass(Duration::from_secs(if told { seconds } else { 9 }));
        bob.converse(&[(&format!("LOCK.ACQUIRE {other} {name} 0"), "nil")]).await;
        ann.converse(&[(&format!("LOCK.CLOSE {session}"), "OK")]).await;
    }
}
