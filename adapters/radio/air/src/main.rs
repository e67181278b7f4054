//! Plays the air for radio nodes: in real time for emulated boards, in virtual time for nodes of this process.
//!
//! ```text
//! quorate-air run --nodes 3 --loss 20
//! quorate-air simulate --seeds 100
//! ```
#![forbid(unsafe_code)]

mod options;
mod run;
mod simulate;

use clap::Parser;
use options::{Command, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let ended = match Options::parse().command {
        Command::Run(options) => run::run(&options.sorted()),
        Command::Simulate(options) => Ok(simulate::run(&options)),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quorate-air: {error}");
            ExitCode::from(2)
        }
    }
}
