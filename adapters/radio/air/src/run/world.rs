//! All boards, the air between them, and what was seen of them.

use super::Failure;
use super::board::{Board, Event, Kind, Plan};
use super::hub::Hub;
use super::report::Report;
use super::table::Table;
use super::watch::Watch;
use crate::options::Run;
use quorate_air::Station;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The numbers of boards: nodes from 1, clients from 11, the resource.
const FIRST_CLIENT: u64 = 11;
const RESOURCE: u64 = 30;
/// How often boards are looked at and shown.
const LOOK: Duration = Duration::from_millis(100);
/// Boards switch themselves off this long after the run should be over, should nobody else.
const GRACE: Duration = Duration::from_secs(30);

/// Boards on an air.
#[derive(Debug)]
pub struct World {
    pub hub: Hub,
    pub watch: Watch,
    pub table: Table,
    /// What took how long, in milliseconds.
    pub times: BTreeMap<&'static str, u64>,
    boards: Vec<Board>,
    events: Receiver<Event>,
    began: Instant,
    looked: Instant,
    limit: Duration,
    /// How boards ended that were not killed.
    ended: BTreeMap<usize, i32>,
    // Last, so that the boards are off when it goes.
    _folder: TempDir,
}

impl World {
    /// Starts all boards.
    pub fn start(options: &Run, images: &Path) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("quorate-air-").tempdir()?;
        let plans = plans(options)?;
        // One more, for whoever babbles.
        let hub = Hub::new(options.conditions(), plans.len() + 1, options.seed);
        // Bounded: boards that say more than is heard wait.
        let (to_us, events) = sync_channel(4_096);
        let mut watch = Watch::default();
        let mut boards = Vec::new();
        for plan in plans {
            watch.add(plan.kind, plan.id);
            boards.push(Board::new(plan, folder.path(), images, &to_us)?);
        }
        let table = Table::new(boards.len());
        let mut world = Self {
            hub,
            watch,
            table,
            times: BTreeMap::new(),
            boards,
            events,
            began: Instant::now(),
            looked: Instant::now(),
            limit: options.duration,
            ended: BTreeMap::new(),
            _folder: folder,
        };
        for board in &mut world.boards {
            board.start().map_err(|error| {
                format!("qemu-system-arm does not start: {error} (apt-get install qemu-system-arm)")
            })?;
        }
        Ok(world)
    }

    /// The boards of a kind, by their number here.
    pub fn of(&self, kind: Kind) -> Vec<usize> {
        (0..self.boards.len()).filter(|&at| self.boards[at].kind == kind).collect()
    }

    /// The board of a number on its label.
    pub fn find(&self, id: u64) -> Option<usize> {
        self.boards.iter().position(|board| board.id == id)
    }

    /// What a board is called.
    pub fn name(&self, board: usize) -> String {
        format!("{} {}", self.boards[board].kind.name(), self.boards[board].id)
    }

    /// The station that has no board.
    pub fn babbler(&self) -> Station {
        Station::new(self.boards.len()).expect("few boards")
    }

    /// The file that a board's flash is in.
    pub fn flash(&self, board: usize) -> std::path::PathBuf {
        self.boards[board].flash()
    }

    /// How long it runs.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Switches a board off, as if the power failed.
    pub fn kill(&mut self, board: usize) {
        self.boards[board].kill();
        self.hub.disconnect(self.boards[board].station);
        self.watch.off(board);
        self.table.say(&format!("        {} is switched off", self.name(board)));
    }

    /// Switches a board on.
    pub fn switch_on(&mut self, board: usize) {
        let started = self.boards[board].start();
        let name = self.name(board);
        self.table.say(&format!("        {name} is switched on"));
        if let Err(error) = started {
            self.watch.broken.push(format!("{name} does not start: {error}"));
        }
    }

    /// Begins or ends jamming a board.
    pub fn jam(&mut self, board: usize, jammed: bool) {
        self.hub.medium().jam(self.boards[board].station, jammed);
        self.watch.boards[board].jammed = jammed;
        let how = if jammed { "is jammed" } else { "is no longer jammed" };
        self.table.say(&format!("        {} {how}", self.name(board)));
    }

    /// Lets the boards run until something is seen.
    ///
    /// # Errors
    /// It was not seen in time.
    pub fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Watch) -> Option<T>,
    ) -> Result<T, String> {
        let end = Instant::now() + limit;
        loop {
            if let Some(found) = look(&self.watch) {
                return Ok(found);
            }
            if Instant::now() >= end {
                return Err(format!("not within {limit:?}: {what}"));
            }
            if self.began.elapsed() >= self.limit {
                return Err(format!("the run took too long: {what}"));
            }
            self.step();
        }
    }

    /// Lets the boards run for a while.
    pub fn run_for(&mut self, span: Duration) {
        // Nothing is looked for, so it ends by its limit.
        let _ = self.until("time passes", span, |_| None::<()>);
    }

    /// Lets the boards run until this one has ended by itself; its exit status.
    pub fn until_ended(&mut self, board: usize, limit: Duration) -> Result<i32, String> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.ended.remove(&board) {
                return Ok(status);
            }
            self.step();
        }
        Err(format!("{} goes on", self.name(board)))
    }

    /// Boards that ended by themselves and were not asked for since.
    pub fn ended(&self) -> Vec<String> {
        self.ended.iter().map(|(&board, status)| format!("{} with {status}", self.name(board))).collect()
    }

    /// Carries out what is due and takes in what comes, for a moment.
    fn step(&mut self) {
        let wait = self.hub.run().unwrap_or(LOOK).min(LOOK);
        match self.events.recv_timeout(wait) {
            Ok(event) => self.take(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        for event in self.events.try_iter().take(64).collect::<Vec<_>>() {
            self.take(event);
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.look();
        }
    }

    fn look(&mut self) {
        for at in 0..self.boards.len() {
            if let Some(status) = self.boards[at].ended() {
                self.hub.disconnect(self.boards[at].station);
                self.watch.off(at);
                self.ended.insert(at, status.code().unwrap_or(-1));
            }
        }
        self.table.show(&self.watch.boards);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Connected(station, line) => {
                if let Err(error) = self.hub.connect(station, line) {
                    self.watch.broken.push(format!("a serial line failed: {error}"));
                }
            }
            Event::Bytes(station, bytes) => self.hub.take(station, &bytes),
            Event::Line(station, line) => match Report::parse(&line) {
                // What was on its way when it was switched off is of its past life.
                Some(_) if !self.boards[station.number()].is_on() => {}
                Some(report) => self.watch.take(self.began.elapsed(), station.number(), report),
                None => self.table.say(&format!("{}: {line}", self.name(station.number()))),
            },
        }
    }
}

fn plans(options: &Run) -> Result<Vec<Plan>, Failure> {
    let nodes = (1..=u64::from(options.nodes)).map(|id| (Kind::Node, id));
    let clients = (0..u64::from(options.clients)).map(|at| (Kind::Client, FIRST_CLIENT + at));
    let all = nodes.chain(clients).chain([(Kind::Resource, RESOURCE)]);
    let life = (options.duration + GRACE).as_secs();
    let plan = |(at, (kind, id)): (usize, (Kind, u64))| {
        let mut arguments = vec![
            format!("voters={}", options.nodes),
            format!("cluster={}", 7),
            format!("seed={}", options.seed),
            format!("life={life}"),
            format!("resource={RESOURCE}"),
        ];
        // The first client believes that it holds a lock until it is told otherwise, whatever its clock says.
        if id == FIRST_CLIENT {
            arguments.push("careless=1".into());
        }
        let station = Station::new(at).ok_or("more boards than the air has room for")?;
        // The image for three nodes takes less memory.
        let image = if kind == Kind::Node && options.nodes > 3 { "node7" } else { kind.name() };
        Ok(Plan { kind, id, station, image, arguments })
    };
    all.enumerate().map(plan).collect()
}
