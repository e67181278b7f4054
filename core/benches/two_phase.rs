//! What a transaction costs: a coordinator and three participants in one thread, an in-memory network and storage, no
//! encoding; all write, and all can.
//!
//! `cargo bench -p quorate --all-features --bench two_phase`
//!
//! Instructions are counted by valgrind's callgrind, if it is installed: the difference between a run of twice as many
//! transactions and one of so many. They are of all four nodes, the network and the allocator included.

use quorate::space::{Fixed, Heap};
use quorate::two_phase::{Config, Coordinator, Participant, Transaction, coordinator, participant};
use quorate::{Input, Instant, Machine, NodeId, Output, Pending, Space};

const WINDOWS: [u64; 2] = [1, 16];
const NOW: Instant = Instant::from_micros(0);

struct Nodes<S: Space> {
    /// The coordinator's, and the participants'.
    ids: [NodeId; 4],
    coordinator: Coordinator<u32, S>,
    /// Each with whether it has heard anything that it was not polled for.
    participants: Vec<(Participant<u32, S>, bool)>,
    committed: u64,
    messages: u64,
    syncs: u64,
}

impl<S: Space> Nodes<S> {
    fn new() -> Self {
        let ids = [1, 2, 3, 4].map(NodeId::new);
        let participant =
            |&id: &NodeId| Participant::new(Config::new(id, &ids), id.get(), NOW).expect("sound settings");
        Self {
            ids,
            coordinator: Coordinator::new(Config::new(ids[0], &ids), 1, NOW).expect("sound settings"),
            participants: ids.iter().skip(1).map(|id| (participant(id), true)).collect(),
            committed: 0,
            messages: 0,
            syncs: 0,
        }
    }

    /// `window` transactions at a time, until there were `count`.
    fn commit(&mut self, window: u64, count: u64) {
        let end = self.committed + count;
        while self.committed < end {
            for _ in 0..window {
                let parts = self.ids.iter().skip(1).map(|&id| (id, 7));
                let begin = coordinator::Request::Begin(Transaction::of(parts).expect("three nodes"));
                self.coordinator.request(NOW, begin).expect("there is room");
            }
            self.coordinate();
            while self.take_part() {
                self.coordinate();
            }
        }
    }

    /// Has the coordinator do all that it can without the others.
    fn coordinate(&mut self) {
        loop {
            let mut claim = None::<Pending>;
            while let Some(output) = self.coordinator.poll() {
                match output {
                    Output::Save(write) => claim = Some(write.split().1),
                    Output::Send { to, message } => {
                        self.messages += 1;
                        let (participant, has_heard) = &mut self.participants[to.get() as usize - 2];
                        participant.handle(NOW, Input::Message { from: self.ids[0], message });
                        *has_heard = true;
                    }
                    Output::Event(event) => {
                        let coordinator::Event::Ended { outcome, .. } = event else { panic!("{event:?}") };
                        assert_eq!(outcome, coordinator::Outcome::Committed);
                        self.committed += 1;
                    }
                }
            }
            let Some(claim) = claim else { return };
            self.syncs += 1;
            self.coordinator.handle(NOW, Input::Saved(claim.assert_durable()));
        }
    }

    /// Has each participant that has heard something do all that it can without the others. Tells whether the coordinator has
    /// heard something.
    fn take_part(&mut self) -> bool {
        let before = self.messages;
        for (at, (participant, has_heard)) in self.participants.iter_mut().enumerate() {
            if !core::mem::take(has_heard) {
                continue;
            }
            loop {
                let mut claim = None::<Pending>;
                while let Some(output) = participant.poll() {
                    let say = match output {
                        Output::Save(write) => {
                            claim = Some(write.split().1);
                            continue;
                        }
                        Output::Send { message, .. } => {
                            self.messages += 1;
                            let from = self.ids[at + 1];
                            self.coordinator.handle(NOW, Input::Message { from, message });
                            continue;
                        }
                        Output::Event(participant::Event::Prepare { tx, .. }) => {
                            participant::Request::Promise(tx)
                        }
                        Output::Event(participant::Event::Decided { tx, commit, .. }) => {
                            assert!(commit);
                            participant::Request::Finish(tx)
                        }
                        Output::Event(_) => continue,
                    };
                    participant.request(NOW, say).expect("it was asked");
                }
                let Some(claim) = claim else { break };
                self.syncs += 1;
                participant.handle(NOW, Input::Saved(claim.assert_durable()));
            }
        }
        self.messages > before
    }
}

/// Instructions of a run of `count` transactions in a process of its own.
fn instructions(space: &str, window: u64, count: u64) -> Option<u64> {
    let valgrind = std::process::Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["run", space, &window.to_string(), &count.to_string()])
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&valgrind.stderr).into_owned();
    told.split("Collected :").nth(1)?.split_whitespace().next()?.parse().ok()
}

fn measure<S: Space>(name: &str, window: u64) {
    let count = 4_096;
    let mut nodes = Nodes::<S>::new();
    nodes.commit(window, count);
    let (messages, syncs) = (nodes.messages, nodes.syncs);
    let allocated = allocation_counter::measure(|| nodes.commit(window, count)).count_total;
    let start = std::time::Instant::now();
    nodes.commit(window, count);
    let nanos = start.elapsed().as_nanos() as f64 / count as f64;
    let each = |number: u64| number as f64 / count as f64;
    let counted = instructions(name, window, count).zip(instructions(name, window, 2 * count));
    let counted = counted.map_or("-".into(), |(few, many)| ((many - few) / count).to_string());
    println!(
        "{name:6} {window:7} {counted:>13} {:>9.2} {:>6.2} {:>12.2} {nanos:>12.0}",
        each(nodes.messages - messages) / 2.0,
        each(nodes.syncs - syncs) / 2.0,
        each(allocated),
    );
}

type OnHeap = Heap<4, 64>;
type Inline = Fixed<4, 64>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [run, space, window, count] = arguments.as_slice()
        && run == "run"
    {
        let number = |text: &str| text.parse().expect("a number");
        return match space.as_str() {
            "heap" => Nodes::<OnHeap>::new().commit(number(window), number(count)),
            "fixed" => Nodes::<Inline>::new().commit(number(window), number(count)),
            other => panic!("no such space: {other}"),
        };
    }
    println!("3 participants; per transaction that all do:");
    println!("space   window  instructions  messages  syncs  allocations  nanoseconds");
    for window in WINDOWS {
        measure::<OnHeap>("heap", window);
    }
    for window in WINDOWS {
        measure::<Inline>("fixed", window);
    }
}
