//! The Redis serialization protocol, as far as a server needs it: requests in, values out.

mod request;
mod value;

pub(crate) use request::{PARTS, Request, Requests};
pub use value::{Protocol, Value};
