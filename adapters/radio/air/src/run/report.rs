//! What boards report: lines of text, `what key=value key=value`.

use std::collections::BTreeMap;

/// A line of a board's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub what: String,
    values: BTreeMap<String, String>,
}

impl Report {
    /// Takes a line apart; `None` if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let what = words.next()?.to_owned();
        let values = words.map(|word| word.split_once('=').map(|(key, value)| (key.into(), value.into())));
        Some(Self { what, values: values.collect::<Option<_>>()? })
    }

    /// The value of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// The value of a key, if it is a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.text(key)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_word_and_what_is_said_of_it() {
        let report = Report::parse("status role=leader term=3 leader=-").expect("a line");
        assert_eq!((report.what.as_str(), report.text("role")), ("status", Some("leader")));
        assert_eq!(
            (report.number("term"), report.number("leader"), report.number("x")),
            (Some(3), None, None)
        );
        assert_eq!(Report::parse(""), None);
        assert_eq!(Report::parse("status role"), None);
    }
}
