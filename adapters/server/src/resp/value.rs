//! What a request gets back.

use bytes::{BufMut, BytesMut};
use quorate::keyspace::Blob;
use redis_protocol::{resp2, resp3};
use std::borrow::Cow;

/// The version of the protocol that a connection agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

/// A reply, in either protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A short text such as `OK`.
    Simple(&'static str),
    /// What went wrong; the first word is its kind.
    Error(Cow<'static, str>),
    /// A number.
    Integer(i64),
    /// Any bytes.
    Bulk(Blob),
    /// Nothing.
    Null,
    /// No array.
    NullArray,
    /// Several.
    Array(Vec<Value>),
    /// Pairs; in the older protocol an array of twice as many.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// `OK`.
    pub const OK: Self = Self::Simple("OK");

    /// An error of this text.
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }

    /// A text as bytes.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Bulk(text.into())
    }

    /// About the bytes that it takes while it is kept.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Simple(_) | Self::Integer(_) | Self::Null | Self::NullArray => 0,
                Self::Error(text) => text.len(),
                Self::Bulk(bytes) => bytes.len(),
                Self::Array(values) => values.iter().map(Self::weight).sum(),
                Self::Map(pairs) => pairs.iter().map(|(name, value)| name.weight() + value.weight()).sum(),
            }
    }

    /// Appends the value to `out`.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        match (self, protocol) {
            (Self::Array(values), _) => {
                encode_length(b'*', values.len(), out);
                values.iter().for_each(|value| value.encode(protocol, out));
            }
            (Self::Map(pairs), _) => {
                match protocol {
                    Protocol::Resp2 => encode_length(b'*', 2 * pairs.len(), out),
                    Protocol::Resp3 => encode_length(b'%', pairs.len(), out),
                }
                pairs
                    .iter()
                    .flat_map(|(key, value)| [key, value])
                    .for_each(|value| value.encode(protocol, out));
            }
            // The codec has no name for this one, which some clients tell from a null.
            (Self::NullArray, Protocol::Resp2) => out.put_slice(b"*-1\r\n"),
            (_, Protocol::Resp2) => self.encode_second(out),
            (_, Protocol::Resp3) => self.encode_third(out),
        }
    }

    fn encode_second(&self, out: &mut BytesMut) {
        use resp2::types::BorrowedFrame;
        let frame = match self {
            Self::Simple(text) => BorrowedFrame::SimpleString(text.as_bytes()),
            Self::Error(text) => BorrowedFrame::Error(text),
            Self::Integer(number) => BorrowedFrame::Integer(*number),
            Self::Bulk(bytes) => BorrowedFrame::BulkString(bytes),
            Self::Null | Self::NullArray => BorrowedFrame::Null,
            Self::Array(_) | Self::Map(_) => unreachable!("these are encoded item by item"),
        };
        let end = resp2::encode::extend_encode_borrowed(out, &frame, false);
        // The codec overrates the length of some numbers.
        out.truncate(end.expect("the codec makes the room it needs"));
    }

    fn encode_third(&self, out: &mut BytesMut) {
        use resp3::types::BorrowedFrame;
        let attributes = None;
        let frame = match self {
            Self::Simple(text) => BorrowedFrame::SimpleString { data: text.as_bytes(), attributes },
            Self::Error(text) => BorrowedFrame::SimpleError { data: text, attributes },
            Self::Integer(number) => BorrowedFrame::Number { data: *number, attributes },
            Self::Bulk(bytes) => BorrowedFrame::BlobString { data: bytes, attributes },
            Self::Null | Self::NullArray => BorrowedFrame::Null,
            Self::Array(_) | Self::Map(_) => unreachable!("these are encoded item by item"),
        };
        let end = resp3::encode::complete::extend_encode_borrowed(out, &frame, false);
        out.truncate(end.expect("the codec makes the room it needs"));
    }
}

fn encode_length(kind: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_slice(length.to_string().as_bytes());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: &Value, protocol: Protocol) -> String {
        // Not from an empty buffer: what was there stays.
        let mut out = BytesMut::from(&b"+before\r\n"[..]);
        value.encode(protocol, &mut out);
        let text = String::from_utf8(out.to_vec()).expect("text");
        text.strip_prefix("+before\r\n").expect("what was there").to_owned()
    }

    #[test]
    fn each_kind_of_value_is_these_bytes() {
        let pair = (Value::text("k"), Value::Null);
        for (value, second, third) in [
            (Value::OK, "+OK\r\n", "+OK\r\n"),
            (Value::error("ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
            (Value::Integer(-7), ":-7\r\n", ":-7\r\n"),
            (Value::text(""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (Value::Null, "$-1\r\n", "_\r\n"),
            (Value::NullArray, "*-1\r\n", "_\r\n"),
            (Value::Array(vec![Value::OK, Value::Null]), "*2\r\n+OK\r\n$-1\r\n", "*2\r\n+OK\r\n_\r\n"),
            (Value::Map(vec![pair]), "*2\r\n$1\r\nk\r\n$-1\r\n", "%1\r\n$1\r\nk\r\n_\r\n"),
        ] {
            assert_eq!(encoded(&value, Protocol::Resp2), second);
            assert_eq!(encoded(&value, Protocol::Resp3), third);
        }
    }

    #[test]
    fn integers_of_every_length_end_where_they_end() {
        let powers = (0..19).map(|power| 10_i64.pow(power));
        for number in powers.flat_map(|power| [power - 1, power, power + 1]).chain([i64::MAX, i64::MIN]) {
            for number in [number, number.saturating_neg()] {
                for protocol in [Protocol::Resp2, Protocol::Resp3] {
                    assert_eq!(encoded(&Value::Integer(number), protocol), format!(":{number}\r\n"));
                }
            }
        }
    }
}
