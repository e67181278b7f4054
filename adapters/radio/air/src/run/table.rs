//! Boards as lines of a table.

use super::watch::Shown;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// On a terminal lines that stay where they are, elsewhere lines when something changes.
#[derive(Debug)]
pub enum Table {
    Live { heading: ProgressBar, lines: Vec<ProgressBar>, all: MultiProgress },
    Plain { shown: Vec<(bool, String, Option<u64>)> },
}

impl Table {
    /// A table of so many boards, on standard error: results go to standard output.
    pub fn new(boards: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Plain { shown: Vec::new() };
        }
        let all = MultiProgress::new();
        let style =
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = || all.add(ProgressBar::new_spinner().with_style(style.clone()));
        let heading = line();
        heading.set_message(HEADING);
        Self::Live { heading, lines: (0..boards).map(|_| line()).collect(), all }
    }

    /// Shows boards as they are.
    pub fn show(&mut self, boards: &[Shown]) {
        match self {
            Self::Live { lines, .. } => {
                lines.iter().zip(boards).for_each(|(line, shown)| line.set_message(row(shown)));
            }
            Self::Plain { shown } => {
                let brief = |shown: &Shown| (shown.jammed, shown.role.clone(), shown.term);
                if shown.is_empty() {
                    eprintln!("{HEADING}");
                }
                for (at, board) in boards.iter().enumerate() {
                    if shown.get(at) != Some(&brief(board)) {
                        eprintln!("{}", row(board));
                    }
                }
                *shown = boards.iter().map(brief).collect();
            }
        }
    }

    /// Says something beside the table.
    pub fn say(&self, text: &str) {
        match self {
            // A terminal that went away need not stop the boards.
            Self::Live { all, .. } => drop(all.println(text)),
            Self::Plain { .. } => eprintln!("{text}"),
        }
    }

    /// Leaves the table as it is.
    pub fn finish(&self) {
        if let Self::Live { heading, lines, .. } = self {
            lines.iter().chain([heading]).for_each(ProgressBar::abandon);
        }
    }
}

const HEADING: &str =
    "board          does         life   term  applied  holder   token     sent  received  dropped  stack";

fn row(shown: &Shown) -> String {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    format!(
        "{:<9}{:>4}  {:<11}{:>6}{:>7}{:>9}{:>8}{:>8}{:>9}{:>10}{:>9}{:>7}",
        shown.board,
        shown.id,
        if shown.jammed { "jammed" } else { &shown.role },
        number(shown.life),
        number(shown.term),
        number(shown.applied),
        number(shown.holder),
        number(shown.token),
        number(shown.frames_sent),
        number(shown.frames_received),
        number(shown.frames_dropped),
        number(shown.stack),
    )
}
