//! What each command and each script answers, over a socket.

use crate::support::{Client, Served, serve};
use quorate_server::{Single, Store};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

async fn single() -> (Served, Arc<Single>, Client) {
    let store = Arc::new(Single::of(4).still());
    let served = serve(Arc::clone(&store), 100).await;
    let client = Client::connect(&served).await;
    (served, store, client)
}

#[tokio::test]
async fn values_are_set_read_and_deleted() {
    let (_served, _, mut client) = single().await;
    let conversation = [
        ("GET k", "nil"),
        ("SET k v", "OK"),
        ("get k", "\"v\""),
        ("SET k w NX", "nil"),
        ("SET k w XX", "OK"),
        ("SET none w XX", "nil"),
        ("SET k x GET", "\"w\""),
        ("SET k y NX GET", "\"x\""),
        ("GETSET k ''", "\"x\""),
        ("STRLEN k", "0"),
        ("STRLEN none", "0"),
        ("SETNX k v", "0"),
        ("SETNX other v", "1"),
        ("MGET k none other", "[\"\" nil \"v\"]"),
        ("MSET k '' a 1 b 2 c 3 d 4 a 5", "OK"),
        ("MGET d c b a k", "[\"4\" \"3\" \"2\" \"5\" \"\"]"),
        ("MSET a 1 b", "ERR wrong number of arguments for 'mset' command"),
        ("DEL a b c d", "4"),
        ("EXISTS k k none", "2"),
        ("TYPE k", "string"),
        ("TYPE none", "none"),
        ("GETDEL k", "\"\""),
        ("GETDEL k", "nil"),
        ("SET k v", "OK"),
        ("DEL k none k", "1"),
        ("UNLINK other", "1"),
        ("EXISTS other", "0"),
    ];
    client.converse(&conversation).await;
}

#[tokio::test]
async fn integers_are_added_to() {
    let (_served, _, mut client) = single().await;
    let overflow = "ERR increment or decrement would overflow";
    let conversation = [
        ("INCR n", "1"),
        ("INCRBY n 41", "42"),
        ("DECR n", "41"),
        ("DECRBY n 42", "-1"),
        ("GET n", "\"-1\""),
        ("INCRBY n -9223372036854775808", overflow),
        ("SET n 999999999999998", "OK"),
        ("INCR n", "999999999999999"),
        ("SET n v", "OK"),
        ("INCR n", "ERR value is not an integer or out of range"),
        ("INCRBY n +1", "ERR value is not an integer or out of range"),
        ("DECRBY n -9223372036854775808", "ERR value is not an integer or out of range"),
    ];
    client.converse(&conversation).await;
}

#[tokio::test]
async fn keys_expire_when_they_should() {
    let (_served, store, mut client) = single().await;
    let conversation = [
        ("SET k v PX 100000", "OK"),
        ("TTL k", "100"),
        ("SET k w KEEPTTL", "OK"),
        ("TTL k", "100"),
        ("PERSIST k", "1"),
        ("PERSIST k", "0"),
        ("PTTL k", "-1"),
        ("TTL none", "-2"),
        ("EXPIRE k 50", "1"),
        ("TTL k", "50"),
        ("PEXPIRE none 50", "0"),
        ("PEXPIRE k 60000", "1"),
        ("SETEX e 70 v", "OK"),
        ("PSETEX p 70000 v", "OK"),
        ("SET s v EX 30", "OK"),
        ("TTL s", "30"),
    ];
    client.converse(&conversation).await;
    store.pass(Duration::from_secs(61));
    client
        .converse(&[("MGET k e p s", "[nil \"v\" \"v\" nil]"), ("EXPIRE e 0", "1"), ("GET e", "nil")])
        .await;
    store.pass(Duration::from_secs(10));
    client.converse(&[("EXISTS k e p s", "0")]).await;
}

#[tokio::test]
async fn a_time_of_day_is_taken_by_the_clock_of_the_node() {
    let (_served, store, mut client) = single().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for (request, reply) in [
        (format!("SET k v EXAT {}", now + 100), "OK"),
        (format!("SET l v PXAT {}", (now + 100) * 1_000), "OK"),
        (format!("SET past v EXAT {}", now - 100), "OK"),
        ("SET m v".to_owned(), "OK"),
        (format!("EXPIREAT m {}", now + 100), "1"),
        ("SET n v".to_owned(), "OK"),
        (format!("PEXPIREAT n {}", (now - 100) * 1_000), "1"),
        ("EXISTS k l m".to_owned(), "3"),
        ("EXISTS past n".to_owned(), "0"),
    ] {
        assert_eq!(client.ask(&request).await, reply, "{request}");
    }
    store.pass(Duration::from_secs(101));
    client.converse(&[("EXISTS k l m", "0")]).await;
}

#[tokio::test]
async fn a_grant_has_a_fencing_token_and_a_later_one_a_higher() {
    let (_served, store, mut client) = single().await;
    client.converse(&[("SET k one NX PX 1000", "OK"), ("SET plain v", "OK"), ("FENCE plain", "nil")]).await;
    let first: u64 = client.ask("FENCE k").await.parse().expect("a token");
    client.converse(&[("SET k two NX PX 1000", "nil")]).await;
    store.pass(Duration::from_secs(2));
    client.converse(&[("FENCE k", "nil"), ("SET k two NX PX 1000", "OK")]).await;
    let second: u64 = client.ask("FENCE k").await.parse().expect("a token");
    assert!(first < second);
}

#[tokio::test]
async fn transactions_take_effect_together_or_not_at_all() {
    let (served, _, mut client) = single().await;
    let mut other = Client::connect(&served).await;
    let conversation = [
        ("MULTI", "OK"),
        ("SET k 1", "QUEUED"),
        ("PING", "QUEUED"),
        ("INCR k", "QUEUED"),
        ("GET k", "QUEUED"),
        ("EXEC", "[OK PONG 2 \"2\"]"),
        ("WATCH k none", "OK"),
        ("MULTI", "OK"),
        ("EXISTS k", "QUEUED"),
        ("EXEC", "[1]"),
        ("MULTI", "OK"),
        ("EXEC", "[]"),
    ];
    client.converse(&conversation).await;
    client.converse(&[("WATCH k none", "OK")]).await;
    other.converse(&[("SET none v", "OK")]).await;
    client.converse(&[("MULTI", "OK"), ("SET k 9", "QUEUED"), ("EXEC", "nil"), ("GET k", "\"2\"")]).await;
    client.converse(&[("WATCH k", "OK"), ("UNWATCH", "OK")]).await;
    other.converse(&[("INCR k", "3")]).await;
    client.converse(&[("MULTI", "OK"), ("SET k 9", "QUEUED"), ("EXEC", "[OK]")]).await;
}

#[tokio::test]
async fn what_is_watched_is_watched_until_a_transaction_ends() {
    let (served, _, mut client) = single().await;
    let mut other = Client::connect(&served).await;
    client.converse(&[("WATCH k", "OK"), ("EXEC", "ERR EXEC without MULTI"), ("MULTI", "OK")]).await;
    other.converse(&[("SET k 1", "OK")]).await;
    client.converse(&[("UNWATCH", "QUEUED"), ("SET k 9", "QUEUED"), ("EXEC", "nil")]).await;
    client
        .converse(&[("MULTI", "OK"), ("UNWATCH", "QUEUED"), ("INCR k", "QUEUED"), ("EXEC", "[OK 2]")])
        .await;
}

#[tokio::test]
async fn what_is_wrong_in_a_transaction_aborts_it() {
    let (_served, _, mut client) = single().await;
    let aborted = "EXECABORT Transaction discarded because of previous errors.";
    let conversation = [
        ("EXEC", "ERR EXEC without MULTI"),
        ("DISCARD", "ERR DISCARD without MULTI"),
        ("MULTI", "OK"),
        ("MULTI", "ERR MULTI calls can not be nested"),
        ("WATCH k", "ERR WATCH inside MULTI is not allowed"),
        ("SET k v", "QUEUED"),
        ("DISCARD", "OK"),
        ("GET k", "nil"),
        ("MULTI", "OK"),
        ("SET k v", "QUEUED"),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("EXEC", aborted),
        ("GET k", "nil"),
        ("MULTI", "OK"),
        ("SET k v", "QUEUED"),
        ("INCR k", "QUEUED"),
        ("EXEC", "[OK ERR value is not an integer or out of range]"),
    ];
    client.converse(&conversation).await;
    client.converse(&[("MULTI", "OK")]).await;
    for _ in 0..128 {
        client.converse(&[("INCR n", "QUEUED")]).await;
    }
    client.converse(&[("INCR n", "ERR more than 128 commands in one transaction"), ("EXEC", aborted)]).await;
}

#[tokio::test]
async fn what_is_queued_with_its_reply_counts_as_much_as_it_takes() {
    let (_served, _, mut client) = single().await;
    client.converse(&[("MULTI", "OK")]).await;
    let exist = format!("SCRIPT EXISTS{}", " x".repeat(1_000));
    let mut queued = 0;
    while client.ask(&exist).await == "QUEUED" {
        queued += 1;
    }
    assert!((20..100).contains(&queued), "{queued}");
    client.converse(&[("EXEC", "EXECABORT Transaction discarded because of previous errors.")]).await;
}

#[tokio::test]
async fn scripts_by_digest_do_what_their_bodies_say() {
    let (_served, _, mut client) = single().await;
    let conversation = [
        // redis-py: extend, reacquire, release.
        ("SET k mine NX PX 100000", "OK"),
        ("EVALSHA a4e8783852e6b949f9ef3a97212805108459a890 1 k mine 100000 0", "1"),
        ("TTL k", "200"),
        ("EVALSHA a4e8783852e6b949f9ef3a97212805108459a890 1 k mine 50000 1", "1"),
        ("TTL k", "50"),
        ("EVALSHA a4e8783852e6b949f9ef3a97212805108459a890 1 k other 50000 1", "0"),
        ("EVALSHA 1cac51482acf5858da00f6d685d68f886cd6b6b2 1 k mine 70000", "1"),
        ("TTL k", "70"),
        ("EVALSHA c3f8721cbb97f72bc19e972846bd7aaf91901658 1 k other", "0"),
        ("EVALSHA C3F8721CBB97F72BC19E972846BD7AAF91901658 1 k mine", "1"),
        ("EVALSHA c3f8721cbb97f72bc19e972846bd7aaf91901658 1 k mine", "0"),
        ("SET k mine", "OK"),
        ("EVALSHA a4e8783852e6b949f9ef3a97212805108459a890 1 k mine 50000 0", "0"),
        ("EVALSHA f5f7bd3a3aa4a63c507c1155c5ea1219b350d992 1 k mine", "0"),
        // pottery: extend, acquired, release.
        ("EVALSHA ba015a80261b616e7a62d35df0b8e3edbe6c9414 1 k mine 10", "1"),
        ("EVALSHA f5f7bd3a3aa4a63c507c1155c5ea1219b350d992 1 k other", "0"),
        ("EVALSHA a4aada0b36710970eedaaaeec4a6b7d8c78c4f80 1 k mine", "1"),
        // redsync: touch or set, touch, delete.
        ("EVALSHA b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79 1 k mine 100000", "1"),
        ("EVALSHA b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79 1 k other 100000", "0"),
        ("EVALSHA d75bb8b5bd13532ddedd17762e772346e39b321e 1 k mine 30000", "1"),
        ("TTL k", "30"),
        ("EVALSHA e950836ed1e694540c503ef9972b8de518044d3b 1 k other", "0"),
        ("EVALSHA e950836ed1e694540c503ef9972b8de518044d3b 1 k mine", "1"),
        ("EVALSHA e950836ed1e694540c503ef9972b8de518044d3b 1 k mine", "-1"),
        // node-redlock: acquire, extend, release.
        ("EVALSHA 96da70f7716f27d278a5218544df37fd8b0a5e4c 2 a b mine 100000", "2"),
        ("EVALSHA 96da70f7716f27d278a5218544df37fd8b0a5e4c 2 b c mine 100000", "0"),
        ("EXISTS c", "0"),
        ("EVALSHA aed6f382e410db8ba7926d4e5e9aab410bf2a78a 2 a b mine 40000", "2"),
        ("TTL b", "40"),
        ("EVALSHA aed6f382e410db8ba7926d4e5e9aab410bf2a78a 2 a c mine 90000", "0"),
        ("EVALSHA e4612211c9f8f51c257e26e056b0a654b3187242 3 a b c mine", "2"),
        // redlock-py and rslock: unlock, extend, unlock.
        ("SET k mine NX PX 100000", "OK"),
        ("EVALSHA 4e92fdc63815b3a0a2dd1c1df3694de73607c88d 1 k other", "0"),
        ("EVALSHA 17a49af0c4b1a9034503fa84f3570f5ca76c4cbf 1 k mine 60000", "1"),
        ("TTL k", "60"),
        ("EVALSHA daf86bbf8740dd3ca86733367a016364b2110627 1 k mine", "1"),
    ];
    client.converse(&conversation).await;
}

#[tokio::test]
async fn a_script_that_is_not_known_is_loaded_or_refused() {
    let (_served, _, mut client) = single().await;
    let own =
        "IF redis.call('get', KEYS[1]) == ARGV[1] THEN return redis.call('del', KEYS[1]) ELSE return 0 END";
    let digest = "41df440c9cd230a8420a92dfa2b4e48f0c1b3d2e";
    let no_script = "NOSCRIPT No matching script. Please use EVAL.";
    client.converse(&[("SET k mine", "OK"), ("SCRIPT EXISTS @", "[0]")]).await;
    assert_eq!(client.ask(&format!("EVALSHA {digest} 1 k mine")).await, no_script);
    client.send_parts(&["SCRIPT", "LOAD", own]).await;
    assert_eq!(client.reply().await, format!("{digest:?}"));
    let known = "c3f8721cbb97f72bc19e972846bd7aaf91901658";
    assert_eq!(client.ask(&format!("SCRIPT EXISTS {digest} {known}")).await, "[1 1]");
    assert_eq!(client.ask(&format!("EVALSHA {digest} 1 k mine")).await, "1");
    client.send_parts(&["EVAL", own, "1", "k", "mine"]).await;
    assert_eq!(client.reply().await, "0");
    client.send_parts(&["EVAL", "return 1", "0"]).await;
    assert!(client.reply().await.starts_with("ERR unsupported script: only those that redis-py"));
    for (arguments, error) in [
        ("1 k", "ERR this script takes one key and 1 arguments"),
        ("2 k k mine", "ERR this script takes one key and 1 arguments"),
        ("-1 k mine", "ERR Number of keys can't be negative"),
        ("9 k mine", "ERR Number of keys can't be greater than number of args"),
        ("x k mine", "ERR value is not an integer or out of range"),
    ] {
        assert_eq!(client.ask(&format!("EVALSHA {known} {arguments}")).await, error);
    }
    let touch = "d75bb8b5bd13532ddedd17762e772346e39b321e";
    let error = "ERR value is not an integer or out of range";
    assert_eq!(client.ask(&format!("EVALSHA {touch} 1 k mine soon")).await, error);
}

#[tokio::test]
async fn wrong_requests_get_errors_that_say_so() {
    let (_served, _, mut client) = single().await;
    let syntax = "ERR syntax error";
    let not_an_integer = "ERR value is not an integer or out of range";
    let conversation = [
        ("NONE", "ERR unknown command 'NONE'"),
        ("GE\tT k", "ERR unknown command 'GE\\tT'"),
        ("''", "ERR unknown command ''"),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET a b", "ERR wrong number of arguments for 'get' command"),
        ("SET k", "ERR wrong number of arguments for 'set' command"),
        ("SET k v NX XX", syntax),
        ("SET k v PX", syntax),
        ("SET k v PX 1 EX 1", syntax),
        ("SET k v KEEPTTL PX 1", syntax),
        ("SET k v SOON", syntax),
        ("SET k v PX soon", not_an_integer),
        ("SET k v PX 99999999999999999999", not_an_integer),
        ("SET k v EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
        ("SET k v PX 0", "ERR invalid expire time in 'set' command"),
        ("SETEX k -1 v", "ERR invalid expire time in 'setex' command"),
        ("EXPIRE k soon", not_an_integer),
        ("SELECT 1", "ERR DB index is out of range"),
        ("CLIENT KILL", "ERR unknown subcommand 'KILL' of 'CLIENT'"),
        ("CONFIG SET save x", "ERR 'config SET' is not supported"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("EXISTS k", "0"),
    ];
    client.converse(&conversation).await;
    assert!(client.ask("AUTH secret").await.starts_with("ERR AUTH <password> called without any password"));
}

#[tokio::test]
async fn what_is_too_long_gets_an_error_that_states_the_limit() {
    let (_served, _, mut client) = single().await;
    let long = |length| "x".repeat(length);
    for (request, reply) in [
        (format!("SET {} v", long(1024)), "OK"),
        (format!("SET {} v", long(1025)), "ERR key is longer than 1024 bytes"),
        (format!("GET {}", long(1025)), "ERR key is longer than 1024 bytes"),
        (format!("WATCH {}", long(1025)), "ERR key is longer than 1024 bytes"),
        (format!("SET k {}", long(512 * 1024)), "OK"),
        (format!("SET k {}", long(512 * 1024 + 1)), "ERR value is longer than 524288 bytes"),
        (format!("DEL{}", " k".repeat(129)), "ERR more than 128 keys in one command"),
        (format!("WATCH{}", " k".repeat(129)), "ERR more than 128 keys in one command"),
        (format!("CLIENT SETNAME {}", long(1024)), "OK"),
        (format!("CLIENT SETNAME {}", long(1025)), "ERR client name is longer than 1024 bytes"),
        (format!("HELLO 2 SETNAME {}", long(1025)), "ERR client name is longer than 1024 bytes"),
        (format!("MGET{}", " k".repeat(3)), "ERR answer is larger than 1048576 bytes"),
    ] {
        let shown = &request[..request.len().min(20)];
        assert_eq!(client.ask(&request).await, reply, "{shown}");
    }
}

#[tokio::test]
async fn a_client_can_introduce_itself() {
    let (_served, _, mut client) = single().await;
    let conversation = [
        ("PING", "PONG"),
        ("PING me", "\"me\""),
        ("ECHO me", "\"me\""),
        ("SELECT 0", "OK"),
        ("CLIENT ID", "1"),
        ("CLIENT GETNAME", "nil"),
        ("CLIENT SETNAME me", "OK"),
        ("CLIENT GETNAME", "\"me\""),
        ("CLIENT SETINFO LIB-NAME me", "OK"),
        ("COMMAND DOCS", "[]"),
        ("CONFIG GET save", "[\"save\" \"\"]"),
        ("CONFIG GET appendonly", "[\"appendonly\" \"yes\"]"),
        ("CONFIG GET none", "[]"),
        ("RESET", "RESET"),
        ("CLIENT GETNAME", "nil"),
    ];
    client.converse(&conversation).await;
    assert!(client.ask("INFO").await.contains("redis_version:7.0.0"));
    assert!(client.ask("COMMAND COUNT").await.parse::<u64>().is_ok());
    client.converse(&[("QUIT", "OK")]).await;
    assert_eq!(client.reply().await, "closed");
}

#[tokio::test]
async fn the_newer_protocol_is_spoken_when_asked_for() {
    let (_served, _, mut client) = single().await;
    for request in ["HELLO 3 SETNAME me", "GET none", "CONFIG GET save", "HELLO 2", "GET none", "QUIT"] {
        client.send(request).await;
    }
    let replies = String::from_utf8(client.rest().await).expect("text");
    assert!(replies.starts_with("%7\r\n$6\r\nserver\r\n$7\r\nquorate\r\n"), "{replies}");
    assert!(replies.contains("_\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n*14\r\n"), "{replies}");
    assert!(replies.ends_with("$-1\r\n+OK\r\n"), "{replies}");
}

#[tokio::test]
async fn a_node_tells_its_status_and_where_the_others_are() {
    let (served, store, mut client) = single().await;
    let own = served.address.to_string();
    // The node announces itself as it starts.
    while client.ask("GET quorate:address:1").await != format!("{own:?}") {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.ask("QUORATE.MEMBERS").await, format!("[[1 {own:?}] [2 nil]]"));
    client.converse(&[("SET quorate:address:2 elsewhere:1", "OK")]).await;
    assert_eq!(client.ask("QUORATE.MEMBERS").await, format!("[[1 {own:?}] [2 \"elsewhere:1\"]]"));
    client.converse(&[("SET k v", "OK"), ("DBSIZE", "3")]).await;
    let groups: Vec<_> = store.status().await.expect("it runs").into_iter().map(|(group, status)| {
        let applied = status.applied.get();
        let group = group.get();
        format!(
            "[\"group\" {group} \"role\" \"leader\" \"term\" 1 \"leader\" 1 \"commit\" {applied} \"applied\" {applied}]"
        )
    }).collect();
    assert_eq!(groups.len(), 4);
    let status = format!("[\"id\" 1 \"groups\" [{}]]", groups.join(" "));
    assert_eq!(client.ask("QUORATE.STATUS").await, status);
    let info = client.ask("INFO").await;
    assert!(info.contains("groups:4\\r\\ngroups_led:4") && info.contains("db0:keys=3"), "{info}");
}
