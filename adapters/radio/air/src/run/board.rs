//! Emulated boards: processes, their serial lines, and their flash.

use quorate_air::Station;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread;

/// Bytes of a board's flash.
pub const FLASH: usize = 64 << 10;

/// What a board is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A voter.
    Node,
    /// It takes locks.
    Client,
    /// It is what the lock protects.
    Resource,
}

impl Kind {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Client => "client",
            Self::Resource => "resource",
        }
    }
}

/// What comes from boards.
#[derive(Debug)]
pub enum Event {
    /// The serial line to the air is open.
    Connected(Station, UnixStream),
    /// Bytes for the air.
    Bytes(Station, Vec<u8>),
    /// A line of its report.
    Line(Station, String),
}

/// A board, switched on or off.
#[derive(Debug)]
pub struct Board {
    pub kind: Kind,
    pub id: u64,
    pub station: Station,
    /// What its firmware is told, beside its id and its flash.
    arguments: Vec<String>,
    folder: PathBuf,
    image: PathBuf,
    process: Option<Child>,
}

/// What a board is made of.
#[derive(Debug)]
pub struct Plan {
    pub kind: Kind,
    pub id: u64,
    pub station: Station,
    /// The name of its firmware.
    pub image: &'static str,
    pub arguments: Vec<String>,
}

impl Board {
    /// A board with blank flash, switched off. Its files are in `folder`, its firmware in `images`.
    pub fn new(plan: Plan, folder: &Path, images: &Path, events: &SyncSender<Event>) -> io::Result<Self> {
        let Plan { kind, id, station, image, arguments } = plan;
        let image = images.join(image);
        let board = Self { kind, id, station, arguments, folder: folder.to_owned(), image, process: None };
        fs::write(board.flash(), vec![0xFF; FLASH])?;
        let air = UnixListener::bind(board.file("air"))?;
        let report = UnixListener::bind(board.file("report"))?;
        let (to_air, to_report) = (events.clone(), events.clone());
        thread::Builder::new().spawn(move || listen_to_air(&air, station, &to_air))?;
        thread::Builder::new().spawn(move || listen_to_report(&report, station, &to_report))?;
        Ok(board)
    }

    /// The file that its flash is in.
    pub fn flash(&self) -> PathBuf {
        self.file("flash")
    }

    /// Switches it on.
    pub fn start(&mut self) -> io::Result<()> {
        let socket = |name: &str| format!("socket,id={name},path={},server=off", self.file(name).display());
        let mut semihosting =
            format!("enable=on,target=native,arg=id={},arg=flash={}", self.id, self.flash().display());
        for argument in &self.arguments {
            semihosting.push_str(",arg=");
            semihosting.push_str(argument);
        }
        let mut command = Command::new("qemu-system-arm");
        command.args(["-M", "lm3s6965evb", "-nodefaults", "-display", "none", "-monitor", "none"]);
        command.args(["-semihosting-config", &semihosting]);
        for name in ["air", "report"] {
            command.args(["-chardev", &socket(name), "-serial", &format!("chardev:{name}")]);
        }
        command.arg("-kernel").arg(&self.image);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let errors = fs::File::options().create(true).append(true).open(self.file("errors"))?;
        self.process = Some(command.stderr(errors).spawn()?);
        Ok(())
    }

    /// Switches it off without a warning: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// How it ended, if it did by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().ok()??;
        self.process = None;
        Some(status)
    }

    /// Whether it is switched on.
    pub fn is_on(&self) -> bool {
        self.process.is_some()
    }

    fn file(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}-{}.{what}", self.kind.name(), self.id))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ends when nobody wants the events any more.
fn listen_to_air(listener: &UnixListener, station: Station, events: &SyncSender<Event>) {
    for mut line in listener.incoming().flatten() {
        let Ok(writer) = line.try_clone() else { return };
        if events.send(Event::Connected(station, writer)).is_err() {
            return;
        }
        let mut bytes = [0; 1024];
        while let Ok(length @ 1..) = line.read(&mut bytes) {
            let part = bytes.get(..length).unwrap_or_default().to_vec();
            if events.send(Event::Bytes(station, part)).is_err() {
                return;
            }
        }
    }
}

fn listen_to_report(listener: &UnixListener, station: Station, events: &SyncSender<Event>) {
    /// A line is far shorter.
    const LONGEST: u64 = 1 << 20;
    for report in listener.incoming().flatten() {
        let mut report = BufReader::new(report).take(LONGEST);
        let mut line = Vec::new();
        while let Ok(1..) = report.read_until(b'\n', &mut line) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if events.send(Event::Line(station, text)).is_err() {
                return;
            }
            line.clear();
            report.set_limit(LONGEST);
        }
    }
}
