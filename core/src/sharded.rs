//! States that are spread over groups, and transactions across them.

mod transactional;

pub use transactional::Transactional;
