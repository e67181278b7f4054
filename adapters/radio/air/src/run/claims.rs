//! Claims about running boards: each is tried, told and counted.

use serde::Serialize;

/// A claim, and whether it held.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    pub text: String,
    pub holds: bool,
    /// What was measured, or why it does not hold.
    pub note: String,
}

/// What held and what did not.
#[derive(Debug, Default, Serialize)]
pub struct Claims(Vec<Claim>);

impl Claims {
    /// Adds a claim: it holds, with a note, or it does not, for a reason. Tells it as a line.
    pub fn add(&mut self, text: &str, found: Result<String, String>) -> String {
        let holds = found.is_ok();
        let (Ok(note) | Err(note)) = found;
        let line = match (holds, note.is_empty()) {
            (true, true) => format!("ok      {text}"),
            (true, false) => format!("ok      {text} [{note}]"),
            (false, _) => format!("FAILED  {text}: {note}"),
        };
        self.0.push(Claim { text: text.into(), holds, note });
        line
    }

    /// How many held, and how many did not.
    pub fn count(&self) -> (usize, usize) {
        let passed = self.0.iter().filter(|claim| claim.holds).count();
        (passed, self.0.len() - passed)
    }
}
