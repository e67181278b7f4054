//! A small file that says up to where the log was durable.
//!
//! It is written after each sync of the log, and left to the operating system to bring to disk: when a process dies it
//! is exact, when the power fails it may be some seconds old. It never says too much.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::files::{DataFile, Directory};
use crate::format::{
    BadHeader, MARK_MAGIC, VERSION_1, decode_header, encode_header, header_bytes, version_of,
};
use crate::names;
use crate::options::Identity;

const MARK_FIELDS: usize = 1;

/// The open file.
pub(crate) struct Mark {
    identity: Identity,
    path: PathBuf,
    file: Arc<dyn DataFile>,
}

impl Mark {
    /// Opens the file of the directory, and tells the last batch that it vouches for. A damaged mark says nothing: it
    /// is written in place, so it may be torn.
    pub(crate) fn open(directory: &dyn Directory, identity: Identity) -> Result<(Self, Option<u64>), Error> {
        let path = directory.path().join(names::MARK);
        let io = |source| Error::io(&path, source);
        let file = directory.open(names::MARK).map_err(io)?;
        let mut bytes = [0; header_bytes(MARK_FIELDS)];
        let read = file.read_at(&mut bytes, 0).map_err(io)?;
        let header = version_of(MARK_MAGIC, &bytes[..read]).and_then(|version| match version {
            VERSION_1 => decode_header::<MARK_FIELDS>(&bytes[..read]),
            _ => Err(BadHeader::Version(version)),
        });
        let batch = match header {
            Ok((found, _)) if found != identity => {
                return Err(Error::Foreign { file: path, found, expected: identity });
            }
            Ok((_, [batch])) => Some(batch),
            Err(BadHeader::Version(found)) => return Err(Error::Version { file: path, found }),
            Err(BadHeader::Damaged) => None,
        };
        Ok((Self { identity, path, file }, batch))
    }

    /// Makes a mark that says nothing yet.
    pub(crate) fn create(directory: &dyn Directory, identity: Identity) -> Result<Self, Error> {
        let path = directory.path().join(names::MARK);
        let io = |source| Error::io(&path, source);
        let file = directory.create(names::MARK).map_err(io)?;
        // Allocated now, so that a full disk does not matter later.
        file.write_at(&[0; header_bytes(MARK_FIELDS)], 0).map_err(io)?;
        file.sync().map_err(io)?;
        directory.sync().map_err(io)?;
        Ok(Self { identity, path, file })
    }

    /// Vouches for all batches up to `batch`; they must be durable.
    pub(crate) fn write(&self, batch: u64) -> Result<(), Error> {
        let bytes = encode_header::<MARK_FIELDS>(MARK_MAGIC, VERSION_1, self.identity, [batch]);
        self.file.write_at(&bytes, 0).map_err(|source| Error::io(&self.path, source))
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(|source| Error::io(&self.path, source))
    }
}
