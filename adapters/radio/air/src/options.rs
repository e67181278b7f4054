//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use quorate_air::Conditions;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The air between radio nodes of quorate, simulated: in virtual time for nodes of this process, in real time for
/// emulated boards.
#[derive(Debug, Parser)]
#[command(name = "quorate-air", version)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs emulated boards on one air: nodes, clients that contend for a lock, and what the lock protects. Without
    /// --kill and --jam a whole story is told and its claims are checked. Exits with 1 if one does not hold.
    Run(Run),
    /// Runs nodes of this process on an air in virtual time, many seeds, and prints how long they take to agree.
    /// Exits with 1 if an invariant is broken, or a lock takes too long at 20 % loss.
    Simulate(Simulate),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// How many nodes: an odd number.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub nodes: u8,
    /// How many clients.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub clients: u8,
    /// How many frames are lost, in percent, at each receiver.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub loss: u8,
    /// Of how many frames some bits are wrong, in percent.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub corruption: u8,
    /// How late a frame is at most, beyond its time on the air.
    #[arg(long, default_value = "2ms", value_parser = span)]
    pub delay: Duration,
    /// What losses and boards draw their chances from.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The run ends by then.
    #[arg(long, default_value = "90s", value_parser = span)]
    pub duration: Duration,
    /// Switches a board off at a time, and on again a while later: `2@5s`, `2@5s+3s`.
    #[arg(long = "kill", value_name = "BOARD@TIME[+SPAN]", value_parser = kill)]
    kills: Vec<Event>,
    /// Jams a board for a while: `11@8s`, `11@8s+4s`.
    #[arg(long = "jam", value_name = "BOARD@TIME[+SPAN]", value_parser = jam)]
    jams: Vec<Event>,
    /// Where the firmware is (`node`, `client`, `resource`); it is built if this is not given.
    #[arg(long, value_name = "FOLDER")]
    pub firmware: Option<PathBuf>,
    /// How what was found is written.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Both of the above.
    #[arg(skip)]
    pub events: Vec<Event>,
}

impl Run {
    /// With all that is to be done to boards in one list.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.events = self.kills.iter().chain(&self.jams).copied().collect();
        self
    }

    /// What the air does.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        Conditions {
            loss: f64::from(self.loss) / 100.0,
            corruption: f64::from(self.corruption) / 100.0,
            delay: self.delay,
            // More than boards take: it is for them to drop what is too long.
            mtu: 512,
            ..Conditions::default()
        }
    }
}

/// Options of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub nodes: u8,
    /// How many seeds, for each share of loss.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: u32,
    /// One seed only.
    #[arg(long, conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// The shares of frames that are lost, in percent.
    #[arg(long, value_delimiter = ',', default_value = "0,20,40")]
    pub loss: Vec<u8>,
    /// How what was found is written.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How what was found is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One object, for programs.
    Json,
}

/// What is done to a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is switched off, and on again.
    Kill { board: u64, at: Duration, off: Duration },
    /// It hears nothing and is not heard.
    Jam { board: u64, at: Duration, jammed: Duration },
}

impl Event {
    /// The board.
    #[must_use]
    pub const fn board(&self) -> u64 {
        match *self {
            Self::Kill { board, .. } | Self::Jam { board, .. } => board,
        }
    }
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

fn kill(text: &str) -> Result<Event, String> {
    let (board, at, off) = timed(text, Duration::from_secs(3))?;
    Ok(Event::Kill { board, at, off })
}

fn jam(text: &str) -> Result<Event, String> {
    let (board, at, jammed) = timed(text, Duration::from_secs(5))?;
    Ok(Event::Jam { board, at, jammed })
}

/// `BOARD@TIME[+SPAN]`
fn timed(text: &str, default: Duration) -> Result<(u64, Duration, Duration), String> {
    let (board, when) = text.split_once('@').ok_or("a board and a time, such as 2@5s")?;
    let board = u64::from_str(board).map_err(|error| format!("{board:?}: {error}"))?;
    let (at, length) = when.split_once('+').map_or((when, None), |(at, length)| (at, Some(length)));
    Ok((board, span(at)?, length.map_or(Ok(default), span)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_a_board_a_time_and_a_span() {
        let second = Duration::from_secs(1);
        assert_eq!(kill("2@5s+4s"), Ok(Event::Kill { board: 2, at: 5 * second, off: 4 * second }));
        assert_eq!(jam("11@8s"), Ok(Event::Jam { board: 11, at: 8 * second, jammed: 5 * second }));
        assert!(jam("11").is_err() && jam("x@1s").is_err() && jam("1@1s+").is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }
}
