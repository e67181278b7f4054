//! Commands, most of them to the point: words, with keys, values, numbers and names that are met again.

use crate::Tape;

/// Commands by their parts: `K` is a key, `V` a value, `N` a number, `S` a lock session, `L` a lock, `D` the digest of a
/// script, `O` an option, `*` some more of what is before it.
const COMMANDS: &[&str] = &[
    "set K V",
    "set K V O",
    "set K V O N",
    "set K V O N O",
    "get K",
    "evalsha D 1 K V",
    "evalsha D 1 K V N",
    "evalsha D 1 K V N N",
    "evalsha D N K * V *",
    "eval V N K *",
    "script load V",
    "script O D *",
    "del K *",
    "unlink K *",
    "exists K *",
    "mget K *",
    "incr K",
    "decr K",
    "incrby K N",
    "decrby K N",
    "fence K",
    "pttl K",
    "ttl K",
    "type K",
    "strlen K",
    "getdel K",
    "getset K V",
    "setnx K V",
    "setex K N V",
    "psetex K N V",
    "expire K N",
    "pexpire K N",
    "expireat K N",
    "pexpireat K N",
    "persist K",
    "dbsize",
    "multi",
    "multi",
    "exec",
    "exec",
    "discard",
    "watch K *",
    "unwatch",
    "ping",
    "ping V",
    "echo V",
    "hello",
    "hello 2",
    "hello 3",
    "hello 3 setname V",
    "auth V",
    "select N",
    "client O V",
    "client O",
    "command O *",
    "config O V",
    "info",
    "lock.open V N",
    "lock.open V N",
    "lock.renew S",
    "lock.acquire S L",
    "lock.acquire S L N",
    "lock.release S L N",
    "lock.cancel S L",
    "lock.close S",
    "quit",
    "reset",
    "quorate.status",
    "quorate.members",
];

const OPTIONS: &[&str] = &[
    "NX", "XX", "GET", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "exists", "load", "flush", "setname",
    "getname", "id", "setinfo", "count", "docs", "get", "info", "no-evict",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "1000",
    "-1",
    "5",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "",
    "1.5",
    "9223372036854775",
    "86400000",
];
const DIGESTS: &[&str] = &[
    "c3f8721cbb97f72bc19e972846bd7aaf91901658",
    "a4e8783852e6b949f9ef3a97212805108459a890",
    "1cac51482acf5858da00f6d685d68f886cd6b6b2",
    "f5f7bd3a3aa4a63c507c1155c5ea1219b350d992",
    "e950836ed1e694540c503ef9972b8de518044d3b",
    "b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79",
    "96da70f7716f27d278a5218544df37fd8b0a5e4c",
    "aed6f382e410db8ba7926d4e5e9aab410bf2a78a",
    "e4612211c9f8f51c257e26e056b0a654b3187242",
    "0000000000000000000000000000000000000000",
];

/// Requests as bytes.
pub struct Asked {
    pub bytes: Vec<u8>,
    pub count: usize,
    /// Whether one of them may be the last that is heard: the client goes, or hangs up while it waits for a lock.
    pub may_end: bool,
}

/// Requests until the tape is over or there is this much of them.
pub fn requests(tape: &mut Tape<'_>, most: usize) -> Asked {
    let mut asked = Asked { bytes: Vec::new(), count: 0, may_end: false };
    while !tape.is_over() {
        let parts = parts(tape);
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in &parts {
            bytes.extend(format!("${}\r\n", part.len()).into_bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        if asked.bytes.len() + bytes.len() > most {
            break;
        }
        asked.may_end |= [&b"quit"[..], b"lock.acquire"].iter().any(|end| parts[0].eq_ignore_ascii_case(end));
        asked.bytes.extend(bytes);
        asked.count += 1;
    }
    asked
}

fn parts(tape: &mut Tape<'_>) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut before = "";
    for word in COMMANDS[tape.below(COMMANDS.len())].split(' ') {
        if word == "*" {
            (0..tape.below(5)).for_each(|_| parts.push(part(tape, before)));
        } else {
            parts.push(part(tape, word));
            before = word;
        }
    }
    // Now and then one too many, or one too few.
    match tape.byte() {
        250.. => parts.push(tape.slice().to_vec()),
        245..250 if parts.len() > 1 => _ = parts.pop(),
        _ => {}
    }
    parts
}

fn part(tape: &mut Tape<'_>, word: &str) -> Vec<u8> {
    let one = |tape: &mut Tape<'_>, of: &[&str]| of[tape.below(of.len())].as_bytes().to_vec();
    match word {
        "K" => one(tape, &["k", "l", "m", "", "n", "k"]),
        "V" if tape.flag() => tape.slice().to_vec(),
        "V" => one(tape, &["v", "w", "10", "", "7"]),
        "N" => one(tape, NUMBERS),
        // Sessions are numbered by the commands before them.
        "S" => tape.below(24).to_string().into_bytes(),
        "L" => one(tape, &["a", "b", "c", ""]),
        "D" => one(tape, DIGESTS),
        "O" => one(tape, OPTIONS),
        word => word.as_bytes().to_vec(),
    }
}
