//! Which scripts there are.

/// What a script does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Deletes the keys that hold the value; how many.
    Delete,
    /// The same; -1 if the key is absent.
    DeleteOrAbsent,
    /// If all keys hold the value, lets them expire from now; how many.
    Expire,
    /// If the key holds the value and expires, gives it more time, added or instead; 1.
    Extend,
    /// How long the key has left if it holds the value; else 0.
    Held,
    /// If the key holds the value or is absent, gives it the value and an expiry; 1.
    ExpireOrCreate,
    /// If all keys are absent, creates them with the value and an expiry; how many.
    Create,
}

/// A script that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// What it does.
    pub(crate) action: Action,
    /// Whether it does it to all the keys it is given, or takes exactly one.
    pub(crate) many: bool,
}

impl Script {
    /// How many arguments it reads besides the keys.
    pub(crate) const fn arguments(self) -> usize {
        match self.action {
            Action::Delete | Action::DeleteOrAbsent | Action::Held => 1,
            Action::Expire | Action::ExpireOrCreate | Action::Create => 2,
            Action::Extend => 3,
        }
    }
}

struct Known {
    /// The SHA-1 of the body.
    body: &'static str,
    /// The SHA-1 of its tokens.
    tokens: &'static str,
    script: Script,
}

const fn one(action: Action, body: &'static str, tokens: &'static str) -> Known {
    Known { body, tokens, script: Script { action, many: false } }
}

const fn many(action: Action, body: &'static str, tokens: &'static str) -> Known {
    Known { body, tokens, script: Script { action, many: true } }
}

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    // redis-py
    one(Action::Delete, "c3f8721cbb97f72bc19e972846bd7aaf91901658", "55f58b294d9c45f4a8c8f8ae4bfe00c0e2ec2ab0"),
    one(Action::Extend, "a4e8783852e6b949f9ef3a97212805108459a890", "c29de94c43cfd616681372fcf17fb9ea5739abeb"),
    one(Action::Expire, "1cac51482acf5858da00f6d685d68f886cd6b6b2", "3797dc915085a8a59a4a31d9141862e9c0de14f0"),
    // pottery
    one(Action::Delete, "a4aada0b36710970eedaaaeec4a6b7d8c78c4f80", "b5187cefcc6107c55b2148c96ad9f7bcc50d83f8"),
    one(Action::Held, "f5f7bd3a3aa4a63c507c1155c5ea1219b350d992", "2f315c44df20485b9aac8d9fcb4fa7049183f0eb"),
    one(Action::Expire, "ba015a80261b616e7a62d35df0b8e3edbe6c9414", "5a6af0b4ac488830663635fea7146ab7586c9c5f"),
    // redlock-py
    one(Action::Delete, "4e92fdc63815b3a0a2dd1c1df3694de73607c88d", "b5187cefcc6107c55b2148c96ad9f7bcc50d83f8"),
    // redsync
    one(Action::DeleteOrAbsent, "e950836ed1e694540c503ef9972b8de518044d3b", "fe9dd8fd0e95f40d1e92073cdc11e64ea9f2e5e0"),
    one(Action::Expire, "d75bb8b5bd13532ddedd17762e772346e39b321e", "5a6af0b4ac488830663635fea7146ab7586c9c5f"),
    one(Action::ExpireOrCreate, "b6b55c439e02c6f52ffb8be7ec8c0d0ac816ea79", "29f5771ec804f17bf1e93c7c23f92fb7cc077a7e"),
    // node-redlock
    many(Action::Create, "96da70f7716f27d278a5218544df37fd8b0a5e4c", "a3ec568e89e9dbffbc631742d069477ca775776a"),
    many(Action::Expire, "aed6f382e410db8ba7926d4e5e9aab410bf2a78a", "b92052995d57c696f19568188430bae94fc3d20c"),
    many(Action::Delete, "e4612211c9f8f51c257e26e056b0a654b3187242", "9ec8ecba0f0366def8d3622ceb6170120a2cdbd7"),
    // rslock
    one(Action::Delete, "daf86bbf8740dd3ca86733367a016364b2110627", "b5187cefcc6107c55b2148c96ad9f7bcc50d83f8"),
    one(Action::Expire, "17a49af0c4b1a9034503fa84f3570f5ca76c4cbf", "5a37ae23ec85726911c1fd86e7bfc302e0a8cda8"),
];

pub(super) fn by_digest(digest: &str) -> Option<Script> {
    KNOWN.iter().find(|known| known.body == digest).map(|known| known.script)
}

pub(super) fn by_tokens(digest: &str) -> Option<Script> {
    KNOWN.iter().find(|known| known.tokens == digest).map(|known| known.script)
}
