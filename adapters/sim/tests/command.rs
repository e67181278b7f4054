//! The command `quorate-sim`.

use std::path::Path;
use std::process::{Command, Output};

fn run(machine: &str, history: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-sim"));
    command.args(["--machine", machine, "--nodes", "3", "--seed", "5", "--history"]).arg(history);
    command.output().expect("it runs")
}

#[test]
fn a_history_that_was_asked_for_is_written_or_refused() {
    let history = std::env::temp_dir().join(format!("quorate-sim-history-{}", std::process::id()));
    for machine in ["raft", "bank", "groups", "commit"] {
        let output = run(machine, &history);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("only the clients of --machine lock keep one") && !history.exists(), "{said}");
    }
    assert!(run("lock", &history).status.success());
    let written = std::fs::read_to_string(&history).expect("it was written");
    std::fs::remove_file(&history).expect("it was written");
    assert!(written.lines().count() > 3, "{written}");
}
