//! Segments made ready before they are needed: overwriting blocks that were written before is the fastest durable
//! write there is, and it cannot find the disk full.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::files::Directory;
use crate::names;
use crate::options::Options;

/// Spare segments to have at hand; the last one is for a restart, which makes room on a full disk.
const SPARES: usize = 2;
/// Segments freed by a restart that are kept as spare ones; making them anew would cost their whole size in writes.
const KEPT: usize = 4;
/// Zeros written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// After a full disk, how long until the next attempt to make a spare segment.
const RETRY: Duration = Duration::from_secs(1);

/// Whom a spare segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Append,
    Restart,
}

/// The spare segments of a log, and the reserve for its snapshots.
pub(crate) struct Spares {
    directory: Arc<dyn Directory>,
    segment_bytes: u64,
    reserve_bytes: u64,
    progress: Arc<Progress>,
}

/// How far the making is. A thread that makes files lets go of the directory, and so of its lock, before it says here
/// that it is done.
struct Progress {
    state: Mutex<State>,
    made: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    Held,
    Missing,
    /// Given to a snapshot; not made again before the restart that the snapshot is for.
    Released,
}

struct State {
    /// At most [`KEPT`] names, and what was given back or made meanwhile.
    ready: VecDeque<String>,
    next_number: u64,
    reserve: Reserve,
    /// Somebody is making files, here or beside the log.
    making: bool,
    closing: bool,
    /// The disk was full, and nothing was freed by us since.
    full_since: Option<Instant>,
}

impl Spares {
    /// Takes over the spare segments `found` and the reserve of an earlier life.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        options: &Options,
        found: &[u64],
        reserved: bool,
    ) -> Result<Arc<Self>, Error> {
        let mut ready = VecDeque::new();
        for number in found {
            let name = names::spare(*number);
            let io = |source| Error::io(&directory.path().join(&name), source);
            let length = directory.open(&name).and_then(|file| file.len()).map_err(io)?;
            if length == options.segment_bytes && ready.len() < KEPT {
                ready.push_back(name);
            } else {
                directory.remove(&name).map_err(io)?;
            }
        }
        let next_number = found.iter().max().map_or(0, |last| last + 1);
        let reserve = if reserved || options.reserve_bytes == 0 { Reserve::Held } else { Reserve::Missing };
        let state = State { ready, next_number, reserve, making: false, closing: false, full_since: None };
        let Options { segment_bytes, reserve_bytes, .. } = *options;
        Ok(Arc::new(Self {
            directory,
            segment_bytes,
            reserve_bytes,
            progress: Arc::new(Progress { state: state.into(), made: Condvar::new() }),
        }))
    }

    /// Takes a spare segment, and makes one on the spot if there is none. A full disk changes nothing.
    pub(crate) fn take(self: &Arc<Self>, purpose: Purpose) -> Result<String, Error> {
        let keep = match purpose {
            Purpose::Append => 1,
            Purpose::Restart => 0,
        };
        let mut state = self.lock();
        // Each round waits for a file that is being made, or makes one: at most `SPARES` of them.
        while state.ready.len() <= keep {
            if state.making {
                state = self.progress.made.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if state.full_since.is_some_and(|since| since.elapsed() < RETRY) {
                return Err(Error::Full { file: self.directory.path().into() });
            }
            state.making = true;
            drop(state);
            let made = self.make_spare();
            state = self.lock();
            state.making = false;
            self.progress.made.notify_all();
            made.map_err(|source| Error::io(self.directory.path(), source))?;
        }
        let name = state.ready.pop_front();
        drop(state);
        // A restart frees segments soon: these are cheaper than new ones.
        if purpose == Purpose::Append {
            self.refill();
        }
        Ok(name.expect("there are more than `keep`"))
    }

    /// Makes a spare segment of one that is no longer needed, or removes it.
    pub(crate) fn recycle(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let length = self.directory.open(name)?.len()?;
        if state.ready.len() >= KEPT || length != self.segment_bytes {
            return self.directory.remove(name);
        }
        let spare = names::spare(state.next_number);
        state.next_number += 1;
        self.directory.rename(name, &spare)?;
        state.ready.push_back(spare);
        Ok(())
    }

    /// After a restart, which makes room: makes what is missing, the reserve as well.
    pub(crate) fn on_restart(self: &Arc<Self>) {
        let mut state = self.lock();
        state.full_since = None;
        if state.reserve == Reserve::Released {
            state.reserve = Reserve::Missing;
        }
        drop(state);
        self.refill();
    }

    /// Makes what is missing, beside the log.
    pub(crate) fn refill(self: &Arc<Self>) {
        let mut state = self.lock();
        let enough = state.ready.len() >= SPARES && state.reserve != Reserve::Missing;
        if state.making || enough || state.full_since.is_some_and(|since| since.elapsed() < RETRY) {
            return;
        }
        state.making = true;
        drop(state);
        let (spares, progress) = (Arc::clone(self), Arc::clone(&self.progress));
        let job = move || {
            spares.make_all();
            drop(spares);
            progress.stop_making();
        };
        // Without a thread the next `take` makes what it needs, so failures are told there.
        if self.directory.spawn(Box::new(job)).is_err() {
            self.progress.stop_making();
        }
    }

    /// Frees the reserve for a snapshot that found the disk full; false if there is none.
    pub(crate) fn release_reserve(&self) -> bool {
        let mut state = self.lock();
        let held = std::mem::replace(&mut state.reserve, Reserve::Released) == Reserve::Held;
        // What the reserve frees is for the snapshot, not for more spare segments.
        state.full_since = Some(Instant::now());
        held && self.reserve_bytes > 0 && self.directory.remove(names::RESERVE).is_ok()
    }

    /// Waits until nothing is written beside the log any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        while state.making {
            state = self.progress.made.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn make_all(&self) {
        // At most `SPARES` rounds, unless spares are taken meanwhile.
        while self.lock().ready.len() < SPARES {
            if self.make_spare().is_err() {
                return;
            }
        }
        if self.lock().reserve == Reserve::Missing && self.make(names::RESERVE, self.reserve_bytes).is_ok() {
            self.lock().reserve = Reserve::Held;
        }
    }

    fn make_spare(&self) -> io::Result<()> {
        let mut state = self.lock();
        let name = names::spare(state.next_number);
        state.next_number += 1;
        drop(state);
        self.make(&name, self.segment_bytes)?;
        self.lock().ready.push_back(name);
        self.progress.made.notify_all();
        Ok(())
    }

    /// Makes a file of zeros; it gets its name when every block of it is on disk.
    fn make(&self, name: &str, bytes: u64) -> io::Result<()> {
        let unfinished = names::unfinished("zeros", 0);
        let made = self.fill(&unfinished, bytes).and_then(|()| self.directory.rename(&unfinished, name));
        if let Err(error) = &made {
            if error.kind() == io::ErrorKind::StorageFull {
                self.lock().full_since = Some(Instant::now());
            }
            // The next `open` removes what cannot be removed now.
            let _ = self.directory.remove(&unfinished);
        }
        made
    }

    fn fill(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = self.directory.create(name)?;
        let zeros = vec![0; CHUNK_BYTES.min(bytes as usize)];
        let mut filled = 0;
        while filled < bytes {
            if self.lock().closing {
                return Err(io::Error::other("the log is being closed"));
            }
            let chunk = zeros.len().min((bytes - filled) as usize);
            file.write_at(&zeros[..chunk], filled)?;
            filled += chunk as u64;
        }
        file.sync()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.progress.lock()
    }
}

impl Progress {
    fn stop_making(&self) {
        self.lock().making = false;
        self.made.notify_all();
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
