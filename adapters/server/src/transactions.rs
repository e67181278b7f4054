//! `quorate transactions`: what is in doubt, and how it is settled by hand.

use crate::arguments::{Decision, Force, Output, Status, Transactions};
use crate::client::{ask, ask_within, field, items, members, number, text};
use futures_util::future::join_all;
use redis_protocol::resp2::types::OwnedFrame;
use serde::Serialize;
use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// How long a node may take to settle a transaction, or to find that there is no quorum for it.
const PATIENCE: Duration = Duration::from_secs(15);

const SOME: u8 = 3;
const NOT_IN_DOUBT: u8 = 4;

/// A transaction that is in doubt in a group, as some node has seen it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct InDoubt {
    transaction: String,
    group: u64,
    age: u64,
    /// The group in which it is decided.
    home: u64,
    since_ms: u64,
    state: String,
}

/// What is shown.
#[derive(Debug, Serialize)]
struct Shown {
    transactions: Vec<InDoubt>,
    /// Nodes that said nothing.
    unreachable: Vec<u64>,
}

/// Shows what is in doubt on any node, or settles one.
pub(crate) async fn run(arguments: &Transactions) -> Result<ExitCode, Failure> {
    match &arguments.force {
        None => show(&arguments.show).await,
        Some(Force::Force { transaction, outcome, connect }) => force(transaction, *outcome, connect).await,
    }
}

async fn show(arguments: &Status) -> Result<ExitCode, Failure> {
    let Status { connect, output } = arguments;
    let shown = collect(connect).await?;
    match output {
        Some(Output::Json) => println!("{}", serde_json::to_string(&shown)?),
        None => {
            println!("{}", line(["transaction", "group", "home", "age", "since", "state"]));
            for one in &shown.transactions {
                let InDoubt { transaction, group, home, age, since_ms, state } = one;
                let since = humantime::format_duration(Duration::from_millis(*since_ms)).to_string();
                let [group, home, age] = [group, home, age].map(u64::to_string);
                println!("{}", line([transaction, &group, &home, &age, &since, state]));
            }
            for node in &shown.unreachable {
                println!("node {node} cannot be reached");
            }
        }
    }
    Ok(if shown.transactions.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SOME) })
}

fn line([transaction, group, home, age, since, state]: [&str; 6]) -> String {
    format!("{transaction:<16}  {group:>5}  {home:>4}  {age:>8}  {since:>12}  {state}")
}

/// What all nodes say; of what several say, the one who has known it for longest.
async fn collect(connect: &str) -> Result<Shown, Failure> {
    let asked = members(connect).await?.into_iter().map(|(id, address)| async move {
        let told = match address {
            Some(address) => ask(&address, &["QUORATE.TRANSACTIONS"]).await.ok(),
            None => None,
        };
        (id, told.and_then(|told| items(&told)?.iter().map(in_doubt).collect::<Option<Vec<_>>>()))
    });
    let (mut found, mut unreachable) = (BTreeMap::<(String, u64), InDoubt>::new(), Vec::new());
    for (id, told) in join_all(asked).await {
        let Some(told) = told else {
            unreachable.push(id);
            continue;
        };
        for one in told {
            let key = (one.transaction.clone(), one.group);
            if found.get(&key).is_none_or(|known| known.since_ms < one.since_ms) {
                found.insert(key, one);
            }
        }
    }
    Ok(Shown { transactions: found.into_values().collect(), unreachable })
}

fn in_doubt(answer: &OwnedFrame) -> Option<InDoubt> {
    let numbered = |name| number(field(answer, name)?);
    Some(InDoubt {
        transaction: text(field(answer, "transaction")?)?,
        group: numbered("group")?,
        age: numbered("age")?,
        home: numbered("home")?,
        since_ms: numbered("since-ms")?,
        state: text(field(answer, "state")?)?,
    })
}

/// Settles a transaction wherever it is in doubt.
async fn force(transaction: &str, outcome: Decision, connect: &str) -> Result<ExitCode, Failure> {
    let outcome = match outcome {
        Decision::Commit => "commit",
        Decision::Abort => "abort",
    };
    eprintln!(
        "quorate: settling {transaction} by force; should its coordinator or another group have decided otherwise, it \
         takes effect in part"
    );
    let settled = ask_within(PATIENCE, connect, &["QUORATE.FORCE", transaction, outcome]).await;
    let settled = settled.map_err(|error| format!("{connect}: {error}; see `quorate transactions`"))?;
    match number(&settled) {
        Some(0) => {
            eprintln!("quorate: {transaction} is not in doubt as far as {connect} knows; nothing was done");
            Ok(ExitCode::from(NOT_IN_DOUBT))
        }
        Some(groups) => {
            println!("{transaction}: {outcome} in {groups} group{}", if groups == 1 { "" } else { "s" });
            Ok(ExitCode::SUCCESS)
        }
        None => Err(format!("{connect}: not a node of quorate").into()),
    }
}
