//! Durable appends: the log beside a plain file that was filled with zeros before.
//!
//! Each batch of 256-byte records is made durable before the next one begins. Both take turns many times a second,
//! so that they see the same disk; compare the ratios, not the figures. `steady` restarts the log now and
//! then, as a driver with snapshots does; `growing` never does, so every segment is filled with zeros first.
//!
//! `cargo bench -p quorate-disk`, with `-- <directory>` to choose the disk.

use std::fs::{File, remove_dir_all};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quorate_disk::{Error, Identity, Log, Options};

const RECORD_BYTES: usize = 256;
const TURNS: usize = 40;
const TURN: Duration = Duration::from_millis(50);
/// The plain file is overwritten from its start again when it is full.
const PLAIN_BYTES: u64 = 64 << 20;
/// Between two restarts of the log.
const RESTART_BYTES: u64 = 128 << 20;

trait Store {
    fn commit(&mut self, batch: &[[u8; RECORD_BYTES]]) -> Result<(), Error>;
}

/// Lengths and records at the next offset, then a sync: no checksum, no recovery.
struct Plain {
    file: File,
    buffer: Vec<u8>,
    offset: u64,
}

impl Plain {
    fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        for chunk in 0..PLAIN_BYTES >> 20 {
            file.write_all_at(&[0; 1 << 20], chunk << 20)?;
        }
        file.sync_all()?;
        Ok(Self { file, buffer: Vec::new(), offset: 0 })
    }
}

impl Store for Plain {
    fn commit(&mut self, batch: &[[u8; RECORD_BYTES]]) -> Result<(), Error> {
        self.buffer.clear();
        for record in batch {
            self.buffer.extend((RECORD_BYTES as u32).to_le_bytes());
            self.buffer.extend_from_slice(record);
        }
        if self.offset + self.buffer.len() as u64 > PLAIN_BYTES {
            self.offset = 0;
        }
        let io = |source| Error::Io { file: PathBuf::from("plain"), source };
        self.file.write_all_at(&self.buffer, self.offset).map_err(io)?;
        self.offset += self.buffer.len() as u64;
        self.file.sync_data().map_err(io)
    }
}

struct Quorate {
    log: Log,
    since_restart: u64,
    restart_bytes: u64,
}

impl Quorate {
    fn open(directory: &Path, restart_bytes: u64) -> Result<Self, Error> {
        let (log, _) = Log::open(directory, Identity { cluster: 1, node: 1 }, Options::default())?;
        Ok(Self { log, since_restart: 0, restart_bytes })
    }
}

impl Store for Quorate {
    fn commit(&mut self, batch: &[[u8; RECORD_BYTES]]) -> Result<(), Error> {
        if self.since_restart > self.restart_bytes {
            self.log.restart(0, b"all of it", None)?;
            self.since_restart = 0;
        }
        for record in batch {
            self.log.append(0, record)?;
        }
        self.since_restart += self.log.sync()?;
        Ok(())
    }
}

/// What a store did in all of its turns.
#[derive(Default)]
struct Tally {
    records: usize,
    busy: Duration,
    commits: Vec<Duration>,
}

impl Tally {
    fn turn(&mut self, store: &mut dyn Store, batch: &[[u8; RECORD_BYTES]]) -> Result<(), Error> {
        let began = Instant::now();
        while began.elapsed() < TURN {
            let commit = Instant::now();
            store.commit(batch)?;
            self.commits.push(commit.elapsed());
            self.records += batch.len();
        }
        self.busy += began.elapsed();

        Ok(())
    }

    fn per_second(&self) -> f64 {
        self.records as f64 / self.busy.as_secs_f64()
    }

    fn median_micros(&mut self) -> f64 {
        self.commits.sort_unstable();
        self.commits[self.commits.len() / 2].as_secs_f64() * 1e6
    }
}

/// Lets both stores take turns, and prints what they did.
fn compare(directory: &Path, name: &str, restart_bytes: u64, records: usize) -> Result<(), Error> {
    let io = |source| Error::Io { file: directory.into(), source };
    std::fs::create_dir_all(directory).map_err(io)?;
    let mut plain = Plain::create(&directory.join("plain")).map_err(io)?;
    let mut log = Quorate::open(&directory.join("log"), restart_bytes)?;
    let (mut of_plain, mut of_log) = (Tally::default(), Tally::default());
    let batch = vec![[0xA5; RECORD_BYTES]; records];
    for _ in 0..TURNS {
        of_plain.turn(&mut plain, &batch)?;
        of_log.turn(&mut log, &batch)?;
    }
    let (plain, log) = (of_plain.per_second(), of_log.per_second());
    let (plain_p50, log_p50) = (of_plain.median_micros(), of_log.median_micros());
    println!(
        "{records:5}  {name:8} {plain:12.0} {log:12.0}  {:5.2}  {plain_p50:9.1} {log_p50:9.1}",
        log / plain
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Cargo adds `--bench`.
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let directory = directory.map_or_else(|| PathBuf::from("target/append-bench"), PathBuf::from);
    println!("batch  log      plain rec/s    log rec/s  ratio  plain p50   log p50 us");
    for records in [1, 64, 1024] {
        for (name, restart_bytes) in [("steady", RESTART_BYTES), ("growing", u64::MAX)] {
            // What an earlier run left behind would be replayed.
            let _ = remove_dir_all(&directory);
            compare(&directory, name, restart_bytes, records)?;
        }
    }
    remove_dir_all(&directory)?;
    Ok(())
}
