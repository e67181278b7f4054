//! Load on a cluster: so many clients, each asking again as soon as it was answered.
//!
//! `cargo run --release -p quorate-server --example load -- set|exec|mget CLIENTS SECONDS GROUPS HOST:PORT,... [KEYS]`
//!
//! `set` writes one key of 256 bytes, `exec` two such keys of different groups in one transaction, `mget` reads two. Each
//! client has keys of its own, or with KEYS all draw from that many.

use quorate_server::Placement;
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// How long after the start it is not counted.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum What {
    Set,
    Exec,
    Mget,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [what, clients, seconds, groups, addresses, shared @ ..] = &arguments[..] else {
        return Err("set|exec|mget CLIENTS SECONDS GROUPS HOST:PORT,... [KEYS]".into());
    };
    let what = match what.as_str() {
        "set" => What::Set,
        "exec" => What::Exec,
        "mget" => What::Mget,
        _ => return Err("set, exec or mget".into()),
    };
    let (clients, seconds): (u64, u64) = (clients.parse()?, seconds.parse()?);
    let placement = Placement::new(groups.parse()?);
    let shared = shared.first().map(|keys| keys.parse::<u64>()).transpose()?;
    let (counted, until) =
        (Instant::now() + WARM_UP, Instant::now() + WARM_UP + Duration::from_secs(seconds));
    let addresses: Vec<_> = addresses.split(',').map(str::to_owned).collect();
    let mut running = JoinSet::new();
    for number in 0..clients {
        let address = addresses[number as usize % addresses.len()].clone();
        let placement = placement.clone();
        let keys = Keys { placement, shared, client: number, drawn: number.wrapping_mul(0x9e37_79b9) + 1 };
        running.spawn(client(what, address, keys, counted, until));
    }
    let (mut took, mut again) = (Vec::new(), 0);
    while let Some(ended) = running.join_next().await {
        let (times, refused) = ended??;
        took.extend(times);
        again += refused;
    }
    took.sort_unstable();
    let at = |part: usize| took.get(took.len() * part / 1_000).copied().unwrap_or_default();
    println!(
        "{clients} clients: {:.0}/s, half within {:?}, 99 % within {:?}, 99.9 % within {:?}, {again} tried again",
        took.len() as f64 / seconds as f64,
        at(500),
        at(990),
        at(999),
    );
    Ok(())
}

/// What the transactions of a client took, and how many were refused.
async fn client(
    what: What,
    address: String,
    mut keys: Keys,
    counted: Instant,
    until: Instant,
) -> Result<(Vec<Duration>, u64), Failure> {
    let (value, mut again) = ("v".repeat(256), 0);
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (mut took, mut buffer) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        let (one, other) = keys.pair();
        let request = match what {
            What::Set => command(&["SET", &one, &value]),
            What::Mget => command(&["MGET", &one, &other]),
            What::Exec => [
                command(&["MULTI"]),
                command(&["SET", &one, &value]),
                command(&["SET", &other, &value]),
                command(&["EXEC"]),
            ]
            .concat(),
        };
        let start = Instant::now();
        socket.write_all(request.as_bytes()).await?;
        buffer.clear();
        let refused = loop {
            if socket.read_buf(&mut buffer).await? == 0 {
                return Err("the node closed the connection".into());
            }
            let text = String::from_utf8_lossy(&buffer);
            let last = match what {
                What::Set => Some(&text[..]),
                What::Mget => Some(&text[..]).filter(|text| ends_two(text)),
                What::Exec => text.strip_prefix("+OK\r\n+QUEUED\r\n+QUEUED\r\n"),
            };
            match last.filter(|last| last.ends_with("\r\n")) {
                Some("+OK\r\n" | "*2\r\n+OK\r\n+OK\r\n") => break false,
                Some(last) if last.starts_with('-') => break true,
                Some(_) if matches!(what, What::Mget) => break false,
                Some(last) if last.len() > 64 => return Err(format!("an odd reply: {last}").into()),
                Some(_) | None => {}
            }
        };
        if refused {
            again += 1;
        } else if start >= counted {
            took.push(start.elapsed());
        }
    }
    Ok((took, again))
}

/// Whether an array of two is whole.
fn ends_two(text: &str) -> bool {
    text.starts_with('-')
        || text.matches("\r\n").count() == 1 + text.matches('$').count() * 2 - text.matches("$-1").count()
            && text.matches('$').count() == 2
}

fn command(parts: &[&str]) -> String {
    let head = format!("*{}\r\n", parts.len());
    parts.iter().fold(head, |head, part| head + &format!("${}\r\n{part}\r\n", part.len()))
}

/// The keys of a client.
struct Keys {
    placement: Placement,
    shared: Option<u64>,
    client: u64,
    drawn: u64,
}

impl Keys {
    /// Two, in different groups if there are several.
    fn pair(&mut self) -> (String, String) {
        let one = self.draw();
        loop {
            let other = self.draw();
            let apart = self.placement.group(one.as_bytes()) != self.placement.group(other.as_bytes());
            if apart || self.placement.count() == 1 {
                return (one, other);
            }
        }
    }

    fn draw(&mut self) -> String {
        self.drawn ^= self.drawn << 13;
        self.drawn ^= self.drawn >> 7;
        self.drawn ^= self.drawn << 17;
        match self.shared {
            Some(keys) => format!("shared:{}", self.drawn % keys),
            None => format!("load:{}:{}", self.client, self.drawn % 1_000),
        }
    }
}
