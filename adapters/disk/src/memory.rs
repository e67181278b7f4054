//! A directory in memory that knows what is durable and what is only written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::Error;
use crate::files::{DataFile, Directory};
use crate::log::Log;
use crate::options::{Identity, Options};
use crate::recovery::{self, Recovered};

const SECTOR: usize = 512;

/// A disk whose jobs run on the spot, so that every run is the same.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the directory, in order.
    unsynced: Vec<Change>,
    /// How many changes there were so far: writes, syncs, renames and the like.
    changes: usize,
    fault: Option<Fault>,
    /// Bytes that all files may take together.
    capacity: Option<u64>,
}

#[derive(Clone, Default)]
struct Contents {
    written: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync brings to disk. One that fails forgets them, as Linux does.
    dirty: BTreeSet<usize>,
}

impl Contents {
    fn durable(bytes: Vec<u8>) -> Self {
        Self { written: bytes.clone(), durable: bytes, dirty: BTreeSet::new() }
    }

    /// Brings one sector to disk.
    fn settle(&mut self, sector: usize) {
        let (start, end) = (sector * SECTOR, self.written.len().min((sector + 1) * SECTOR));
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.written[start..end]);
    }
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

/// From change number `at` on, changes fail with `kind`, once or for good.
#[derive(Clone, Copy)]
pub struct Fault {
    pub at: usize,
    pub kind: io::ErrorKind,
    pub once: bool,
}

impl MemoryDisk {
    /// Opens the log on it, or makes one.
    pub fn open_log(
        self: &Arc<Self>,
        identity: Identity,
        options: Options,
    ) -> Result<(Log, Recovered), Error> {
        recovery::open(Arc::clone(self) as _, identity, options)
    }

    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn changes(&self) -> usize {
        self.lock().changes
    }

    pub fn fail(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    pub fn limit(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    pub fn file_names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.files[state.names[name]].written.clone()
    }

    /// Changes a file behind the log's back.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let file = state.names[name];
        let mut bytes = std::mem::take(&mut state.files[file].written);
        change(&mut bytes);
        state.files[file] = Contents::durable(bytes);
    }

    /// A disk of its own with what is written by now, as after the death of the process.
    pub fn copy(&self) -> Arc<Self> {
        let mut state = self.lock().clone();
        state.fault = None;
        Arc::new(Self { state: Arc::new(state.into()) })
    }

    /// A disk with what is left when the power fails: any sectors that were not synced, and any prefix of the changes
    /// of names, as `choose` decides.
    pub fn crashed(&self, choose: &mut dyn FnMut(usize) -> usize) -> Arc<Self> {
        let mut state = self.lock().clone();
        state.fault = None;
        for file in &mut state.files {
            lose_sectors(file, choose);
            *file = Contents::durable(std::mem::take(&mut file.durable));
        }
        let mut names = state.durable_names.clone();
        let kept = choose(state.unsynced.len() + 1);
        for change in state.unsynced.drain(..).take(kept) {
            apply(&mut names, change);
        }
        (state.names, state.durable_names) = (names.clone(), names);
        Arc::new(Self { state: Arc::new(state.into()) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Deterministic choices, from a seed.
pub fn chooser(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |choices| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % choices
    }
}

fn lose_sectors(file: &mut Contents, choose: &mut dyn FnMut(usize) -> usize) {
    if file.written == file.durable {
        return;
    }
    // None, all, or each sector on its own; what was not synced may have got to disk all the same.
    let mode = choose(3);
    for sector in 0..file.written.len().div_ceil(SECTOR) {
        if mode == 2 || (mode == 1 && choose(2) == 1) {
            file.settle(sector);
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: Change) {
    match change {
        Change::Link(name, file) => {
            names.insert(name, file);
        }
        Change::Rename(from, to) => {
            let file = names.remove(&from).expect("changes are applied in order");
            names.insert(to, file);
        }
        Change::Remove(name) => {
            names.remove(&name);
        }
    }
}

impl State {
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match self.fault {
            Some(fault) if self.changes > fault.at => {
                if fault.once {
                    self.fault = None;
                }
                Err(fault.kind.into())
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].written.len() as u64).sum()
    }

    fn rename(&mut self, change: Change) {
        apply(&mut self.names, change.clone());
        self.unsynced.push(change);
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Directory for MemoryDisk {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.file_names())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let mut state = self.lock();
        state.change()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Contents::default());
        state.rename(Change::Link(name.into(), file));
        Ok(Arc::new(MemoryFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DataFile>> {
        let file = self.lock().find(name)?;
        Ok(Arc::new(MemoryFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.find(from)?;
        state.rename(Change::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.find(name)?;
        state.rename(Change::Remove(name.into()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.durable_names = state.names.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn random(&self) -> u64 {
        self.lock().changes as u64
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        job();
        Ok(())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl DataFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].written.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let from = state.files[self.file].written.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        let end = offset as usize + bytes.len();
        let growth = end.saturating_sub(state.files[self.file].written.len()) as u64;
        if growth > 0 && state.capacity.is_some_and(|capacity| state.used() + growth > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let allowed = state.change();
        // A write that fails may have been carried out all the same.
        let contents = &mut state.files[self.file];
        if contents.written.len() < end {
            contents.written.resize(end, 0);
        }
        contents.written[offset as usize..end].copy_from_slice(bytes);
        contents.dirty.extend(offset as usize / SECTOR..end.div_ceil(SECTOR));
        allowed
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let allowed = state.change();
        let contents = &mut state.files[self.file];
        for sector in std::mem::take(&mut contents.dirty) {
            if allowed.is_ok() {
                contents.settle(sector);
            }
        }
        allowed
    }
}
