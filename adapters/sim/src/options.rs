//! The command line.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, ValueEnum};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

/// Runs seeded worlds of a machine, with faults of network, disk, process and clock, and checks what must hold after
/// every step. Exits with 1 if an invariant is broken, or if a declared fault or rare path was never reached by many
/// seeds.
#[derive(Debug, Parser)]
#[command(name = "quorate-sim", version)]
pub(crate) struct Options {
    /// What to run.
    #[arg(long, value_enum, default_value_t = Machine::Raft)]
    pub(crate) machine: Machine,
    /// Which form of --machine commit. Default: plain.
    #[arg(long, value_enum)]
    pub(crate) form: Option<Form>,
    /// How many nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) nodes: u8,
    /// Which seeds: a number of them, or a range such as 7000..8000.
    #[arg(long, default_value = "300")]
    pub(crate) seeds: Seeds,
    /// One seed only.
    #[arg(long, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Tells every step of the run in words, into this file. Needs --seed.
    #[arg(long, requires = "seed", value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Writes what the clients of the lock service saw, one JSON object a line, into this file. Needs --seed.
    #[arg(long, requires = "seed", value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    /// How many worlds run at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// How the summary is written.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
}

impl Options {
    /// From the command line; without a form for what has none.
    pub(crate) fn checked(self) -> Result<Self, clap::Error> {
        if self.form.is_some() && self.machine != Machine::Commit {
            let what = format!("--form is of --machine commit, and {} has no forms", self.machine);
            return Err(Self::command().error(ErrorKind::ArgumentConflict, what));
        }
        Ok(self)
    }
}

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Machine {
    /// Raft alone: proposals, reads, snapshots.
    Raft,
    /// The lock service: clients with sessions over Raft.
    Lock,
    /// A bank that is spread over groups, with transfers between them: commit in its replicated form.
    Bank,
    /// Many groups on each node, which rest when there is nothing to do.
    Groups,
    /// Two-phase commit: transfers between accounts of several nodes, or of several groups.
    Commit,
}

/// Who decides and takes part in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Nodes, each with its own disk: who has promised waits for the one that decides.
    Plain,
    /// Groups of nodes, each with a log of its own by Raft: nobody waits for a node that is gone.
    Replicated,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Replicated => "replicated",
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raft => "raft",
            Self::Lock => "lock",
            Self::Groups => "groups",
            Self::Commit => "commit",
            Self::Bank => "bank",
        })
    }
}

/// How the summary is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// Which seeds to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
        let range = match text.split_once("..") {
            Some((first, end)) => number(first)?..number(end)?,
            None => 0..number(text)?,
        };
        if range.is_empty() { Err("there are no seeds in it".into()) } else { Ok(Self(range)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Options, clap::Error> {
        Options::try_parse_from(words.split(' ')).and_then(Options::checked)
    }

    #[test]
    fn only_commit_has_forms() {
        for (words, form) in [
            ("quorate-sim --machine commit", None),
            ("quorate-sim --machine commit --form plain", Some(Form::Plain)),
            ("quorate-sim --machine commit --form replicated", Some(Form::Replicated)),
        ] {
            assert_eq!(parsed(words).map(|options| options.form).ok(), Some(form), "{words}");
        }
        for words in ["quorate-sim --form plain", "quorate-sim --machine bank --form replicated"] {
            assert_eq!(parsed(words).map_err(|error| error.kind()).err(), Some(ErrorKind::ArgumentConflict));
        }
    }

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!("10".parse(), Ok(Seeds(0..10)));
        assert_eq!("7..9".parse(), Ok(Seeds(7..9)));
        assert!("9..7".parse::<Seeds>().is_err());
        assert!("x".parse::<Seeds>().is_err());
    }
}
