//! Runs many seeded worlds of a machine and sums up what they reached.
//!
//! ```text
//! quorate-sim --machine raft --nodes 5 --seeds 1000
//! quorate-sim --machine raft --nodes 5 --seed 77 --trace steps.txt
//! quorate-sim --machine commit --form replicated
//! ```

mod campaign;
mod options;

use campaign::Campaign;
use clap::Parser;
use options::{Form, Machine, Options};
use quorate_sim::{bank, commit, groups, lock, raft};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse().checked().unwrap_or_else(|error| error.exit());
    let campaign = Campaign::new(&options);
    let passed = match options.machine {
        Machine::Raft => campaign.run::<raft::Machine, _>(raft::Proposals::new, |_| None),
        Machine::Lock => {
            campaign.run::<lock::Machine, _>(lock::Clients::new, |clients| Some(clients.history()))
        }
        Machine::Bank => campaign.run::<bank::Machine, _>(bank::Clients::new, |_| None),
        Machine::Groups => campaign.run::<groups::Machine, _>(groups::Bursts::new, |_| None),
        Machine::Commit => match options.form {
            None | Some(Form::Plain) => campaign.run::<commit::Machine, _>(commit::Transfers::new, |_| None),
            Some(Form::Replicated) => campaign.run::<bank::Machine, _>(bank::Clients::new, |_| None),
        },
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("quorate-sim: {error}");
            ExitCode::from(2)
        }
    }
}
