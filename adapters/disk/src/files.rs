//! The little that the log needs of a file system, and the real one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::names;

/// A directory. The tests have one in memory that crashes and fails as they like.
pub(crate) trait Directory: Send + Sync {
    fn path(&self) -> &Path;
    /// All file names, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a new, empty file; fails if there is one of this name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DataFile>>;
    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes durable which names there are.
    fn sync(&self) -> io::Result<()>;
    /// A number that nobody can guess.
    fn random(&self) -> u64;
    /// Runs a job beside the log.
    fn spawn(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// A file.
pub(crate) trait DataFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    /// Reads until the buffer is full or the file ends; returns how much was read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes durable what was written, and the length.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the operating system, locked for this process.
pub(crate) struct Files {
    path: PathBuf,
    used: Arc<Usage>,
    /// Let go of with the last user of this directory.
    lock: File,
}

/// Bytes in all files of the directory, against the limit.
struct Usage {
    bytes: AtomicU64,
    limit: u64,
}

impl Files {
    pub(crate) fn open(path: &Path, limit: u64) -> Result<Self, Error> {
        let io = |source| Error::io(path, source);
        fs::create_dir_all(path).map_err(io)?;
        let lock = OpenOptions::new().create(true).append(true).open(path.join(names::LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { directory: path.into() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        // The directory's own entry must outlive a crash as well.
        if let Some(parent) = path.canonicalize().map_err(io)?.parent() {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(io)?;
        }
        let mut bytes = 0;
        for entry in fs::read_dir(path).map_err(io)? {
            bytes += entry.and_then(|entry| entry.metadata()).map_err(io)?.len();
        }
        Ok(Self { path: path.into(), used: Arc::new(Usage { bytes: bytes.into(), limit }), lock })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Not by closing the file: a process that is just being started by this one has it open as well for a moment.
        // An error is of no account, as it is closed now.
        let _ = self.lock.unlock();
    }
}

impl Directory for Files {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path.join(name))?;
        Ok(Arc::new(OneFile { file, length: AtomicU64::new(0), used: Arc::clone(&self.used) }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        let length = file.metadata()?.len().into();
        Ok(Arc::new(OneFile { file, length, used: Arc::clone(&self.used) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        let bytes = fs::metadata(&path)?.len();
        fs::remove_file(path)?;
        self.used.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn random(&self) -> u64 {
        RandomState::new().hash_one(self.used.bytes.load(Ordering::Relaxed))
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new().name("quorate-disk".into()).spawn(job).map(drop)
    }
}

struct OneFile {
    file: File,
    length: AtomicU64,
    used: Arc<Usage>,
}

impl OneFile {
    /// Counts what the file is about to grow by, and refuses it over the limit.
    fn grow_to(&self, end: u64) -> io::Result<()> {
        let length = self.length.load(Ordering::Relaxed);
        if end <= length {
            return Ok(());
        }
        let growth = end - length;
        let fits = |bytes: u64| bytes.checked_add(growth).filter(|total| *total <= self.used.limit);
        let grown = self.used.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        grown.map_err(|_| io::Error::new(io::ErrorKind::StorageFull, "`max_bytes` is reached"))?;
        self.length.store(end, Ordering::Relaxed);
        Ok(())
    }

    /// Takes back what a failed write did not grow by.
    fn recount(&self) {
        if let Ok(metadata) = self.file.metadata() {
            let counted = self.length.swap(metadata.len(), Ordering::Relaxed);
            self.used.bytes.fetch_sub(counted.saturating_sub(metadata.len()), Ordering::Relaxed);
        }
    }
}

impl DataFile for OneFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.grow_to(offset + bytes.len() as u64)?;
        let written = self.file.write_all_at(bytes, offset);
        if written.is_err() {
            self.recount();
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_longer_used_is_free_though_its_lock_is_open_elsewhere() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = Files::open(directory.path(), u64::MAX).expect("it is free");
        // What a process gets that is started from here, until it runs something else.
        let inherited = first.lock.try_clone().expect("a descriptor");
        assert!(matches!(Files::open(directory.path(), u64::MAX), Err(Error::Locked { .. })));
        drop(first);
        assert!(Files::open(directory.path(), u64::MAX).is_ok());
        drop(inherited);
    }
}
