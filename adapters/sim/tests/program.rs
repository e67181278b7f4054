//! The program, as it is called.

use serde_json::Value;
use std::process::Command;

/// What it sums up as an object, but for how fast it was.
fn summed(words: &str) -> Value {
    let mut program = Command::new(env!("CARGO_BIN_EXE_quorate-sim"));
    let all =
        program.args(words.split(' ')).args(["--nodes", "3", "--seeds", "2", "--output", "json"]).output();
    let all = all.expect("the program starts");
    assert!(all.status.success(), "{words}: {}", String::from_utf8_lossy(&all.stdout));
    let mut sum: Value = serde_json::from_slice(&all.stdout).expect("an object");
    sum["events_per_second"].take();
    sum
}

#[test]
fn commit_comes_in_two_forms_and_is_plain_unless_told() {
    let [unsaid, plain, replicated, bank] = [
        "--machine commit",
        "--machine commit --form plain",
        "--machine commit --form replicated",
        "--machine bank",
    ]
    .map(summed);
    assert_eq!((&plain["form"], &replicated["form"]), (&"plain".into(), &"replicated".into()));
    let ran = |sum: &Value| (sum["events"].clone(), sum["paths"].clone());
    assert_eq!(ran(&unsaid), ran(&plain));
    assert_eq!(ran(&replicated), ran(&bank));
    assert_ne!(ran(&plain).1, ran(&replicated).1);
}
