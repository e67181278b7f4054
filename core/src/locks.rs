//! Who may touch which key: the locks of transactions.

/// What a lock allows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// Others may look as well.
    Shared,
    /// Nobody else may look or change.
    Exclusive,
}
