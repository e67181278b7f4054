"""Three processes of the `quorate` binary on this machine, and those who talk to them."""

import json
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from claims import until

HOST = "127.0.0.1"
# How long anything may take that should take moments, on a machine that is busy with something else.
PATIENCE = 60
# How many groups a cluster has unless it is said.
GROUPS = 4


def free_ports(count):
    """Ports on which nobody listens, and which the system gives to nobody meanwhile: below those it gives out."""
    ports = []
    for _ in range(1000):
        port = random.randrange(15_000, 32_000)
        with socket.socket() as tried:
            if port not in ports and tried.connect_ex((HOST, port)) != 0:
                ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError("no ports are free")


def led_by(view, group):
    """The leader of a group, in what `quorate status` says."""
    return next((one["leader"] for one in view["groups"] if one["group"] == group), None)


class Node:
    """One node: its process, when it runs, and where it is found."""

    def __init__(self, number, binary, cluster, port, directory):
        self.number, self.port = number, port
        self.data, self.log = directory / f"node-{number}", directory / f"node-{number}.log"
        self.command = [binary, "serve", "--id", str(number), "--cluster", cluster]
        self.command += ["--listen", f"{HOST}:{port}", "--data", str(self.data)]
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def send(self, signal_number):
        self.process.send_signal(signal_number)

    def ended(self):
        """Waits for the process, and tells its exit status."""
        return self.process.wait(PATIENCE)

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024

    def client(self, retries=3, **options):
        """A client that talks to this node only."""
        options.setdefault("socket_timeout", PATIENCE)
        retry = Retry(NoBackoff(), retries)
        return redis.Redis(HOST, self.port, socket_connect_timeout=PATIENCE, retry=retry, **options)

    def raw(self):
        connection = socket.create_connection((HOST, self.port), timeout=PATIENCE)
        connection.settimeout(PATIENCE)
        return connection


class Cluster:
    """The nodes of a cluster. Their processes end with the `with` block, whatever happens in it."""

    def __init__(self, binary, directory, size=3):
        ports = free_ports(2 * size)
        self.binary, self.peer_ports, self.commands = binary, ports[size:], []
        cluster = ",".join(f"{at}={HOST}:{port}" for at, port in enumerate(self.peer_ports, 1))
        self.nodes = [Node(at, binary, cluster, port, directory) for at, port in enumerate(ports[:size], 1)]

    def __enter__(self):
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_):
        for command in self.commands:
            if command.poll() is None:
                command.terminate()  # which it passes on
                command.wait(PATIENCE)
        running = [node for node in self.nodes if node.runs()]
        for node in running:
            node.send(signal.SIGKILL)
        for node in running:
            node.ended()

    def status(self, node, *arguments):
        """What `quorate status` says, asked of a node."""
        command = [self.binary, "status", "--connect", f"{HOST}:{node.port}", *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)

    def locked(self, name, *command, wait="60s", nodes=None):
        """Starts `quorate lock`, with a command to run while the lock is held."""
        connect = ",".join(f"{HOST}:{node.port}" for node in nodes or self.nodes)
        arguments = [self.binary, "lock", name, "--connect", connect, "--ttl", "10s", "--wait", wait, "--", *command]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process = subprocess.Popen(arguments, **pipes)
        self.commands.append(process)
        return process

    def view(self, node):
        """The cluster as a node shows it; `None` if it does not."""
        shown = self.status(node, "-o", "json")
        return json.loads(shown.stdout) if shown.returncode == 0 else None

    def transactions(self):
        """What `quorate transactions` says, asked of the first node."""
        command = [self.binary, "transactions", "--connect", f"{HOST}:{self.nodes[0].port}", "-o", "json"]
        shown = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        return json.loads(shown.stdout) if shown.stdout else None

    def leader(self, group=0):
        """The node that leads a group, once all that run say so."""

        def look():
            running = [node for node in self.nodes if node.runs()]
            views = [self.view(node) for node in running]
            leaders = {view and led_by(view, group) for view in views}
            reached = all(view and sum(one["reachable"] for one in view["nodes"]) == len(running) for view in views)
            led = [node for node in running if leaders == {node.number}]
            return led[0] if reached and led else None

        return until(f"a leader of group {group} that all nodes know", look, PATIENCE)

    def others(self, node):
        return [other for other in self.nodes if other is not node]


class Writer(threading.Thread):
    """Writes through one node, without pause, and notes what was acknowledged and what may have been done."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.stopping = node, threading.Event()
        self.written, self.counted, self.unknown, self.acknowledged = [], 0, 0, []

    def run(self):
        with self.node.client(retries=0, socket_timeout=5) as client:
            for number in range(10**9):
                if self.stopping.is_set():
                    return
                self.write(client, f"written:{self.node.number}:{number}", number)

    def write(self, client, key, number):
        began = time.monotonic()
        try:
            if number % 4 == 0:
                client.incr("counter")
                self.counted += 1
            else:
                client.set(key, number)
                self.written.append((key, number))
            self.acknowledged.append((began, time.monotonic()))
        except redis.exceptions.RedisError as error:
            # Nothing was done if it was refused, or nobody was there to hear it.
            nothing = str(error).startswith(("TRYAGAIN", "Error 111 connecting"))
            self.unknown += number % 4 == 0 and not nothing
            time.sleep(0.01)

    def stop(self):
        self.stopping.set()
        self.join(PATIENCE)
        assert not self.is_alive(), "a writer hangs"
