//! The `quorate` command.

mod arguments;
mod client;
mod dev;
mod lock;
mod serve;
mod show;
mod status;
mod stop;
mod transactions;

use arguments::{Arguments, Command};
use clap::Parser;
use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let (errors, colours) = (std::io::stderr, std::io::stderr().is_terminal());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(errors).with_ansi(colours).init();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("quorate: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    match command {
        Command::Dev(arguments) => dev::run(arguments).await?,
        Command::Serve(arguments) => serve::run(arguments).await?,
        Command::Lock(arguments) => return Ok(lock::run(arguments).await),
        Command::Status(arguments) => status::run(&arguments).await?,
        Command::Transactions(arguments) => return transactions::run(&arguments).await,
    }
    Ok(ExitCode::SUCCESS)
}
