//! The scripts that lock clients send: a closed set, so that no interpreter is needed.
//!
//! A script is known by the SHA-1 of its body, or else by that of its tokens: lower case, one kind of quotes, one
//! space between tokens, no comments.

mod known;
mod tokens;

pub(crate) use known::{Action, Script};

use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many bodies that are known by their tokens only are remembered by their own SHA-1.
const REMEMBERED: usize = 1024;

/// The SHA-1 of a body, in lower-case hexadecimal digits.
pub(crate) fn digest(body: &[u8]) -> String {
    format!("{:x}", Sha1::digest(body))
}

/// What was loaded on this node and is not known by its SHA-1 alone.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    loaded: Mutex<BTreeMap<String, Script>>,
}

impl Scripts {
    /// The script with this SHA-1.
    pub(crate) fn find(&self, digest: &[u8]) -> Option<Script> {
        let digest = str::from_utf8(digest).ok()?.to_ascii_lowercase();
        known::by_digest(&digest).or_else(|| self.loaded().get(&digest).copied())
    }

    /// The script with this body, which from now on is found by its SHA-1.
    pub(crate) fn load(&self, body: &[u8]) -> Option<(String, Script)> {
        let digest = digest(body);
        let script = match self.find(digest.as_bytes()) {
            Some(script) => script,
            None => {
                let script = known::by_tokens(&self::digest(tokens::normal(body).as_bytes()))?;
                let mut loaded = self.loaded();
                if loaded.len() < REMEMBERED {
                    loaded.insert(digest.clone(), script);
                }
                script
            }
        };
        Some((digest, script))
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Script>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_however_it_is_laid_out() {
        let unlock = r#"if redis.call("get",KEYS[1]) == ARGV[1] then
            return redis.call("del",KEYS[1])
        else
            return 0 -- held by another
        end"#;
        let scripts = Scripts::default();
        let (digest, script) = scripts.load(unlock.as_bytes()).expect("the best known of all");
        assert_eq!(script.action, Action::Delete);
        let line = unlock.replace('"', "'").replace("-- held by another", "").to_uppercase();
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(scripts.load(line.as_bytes()).map(|(_, script)| script), Some(script));
        assert_eq!(scripts.find(digest.to_uppercase().as_bytes()), Some(script));
    }

    #[test]
    fn a_script_that_does_something_else_is_not_known() {
        let scripts = Scripts::default();
        for body in ["", "return 1", "return redis.call('del', KEYS[1])"] {
            assert_eq!(scripts.load(body.as_bytes()), None);
            assert_eq!(scripts.find(digest(body.as_bytes()).as_bytes()), None);
        }
    }
}
