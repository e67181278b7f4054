"""The `quorate` binary, end to end: three processes, redis-py, kill -9.

    python3 adapters/server/e2e/run.py target/release/quorate

Each claim is printed as it is tried; the last line counts them. Ends with 1 if any did not hold.
"""

import argparse
import contextlib
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import redis
from redis.exceptions import LockNotOwnedError, NoScriptError, ResponseError, WatchError
from redis.lock import Lock

from claims import Claims, equal, eventually, until
from cluster import GROUPS, HOST, PATIENCE, Cluster, Writer, led_by

# The whole run ends by then.
LIMIT_SECONDS = 900
# After the leader was killed, somebody serves writes by then: moments, but where the machine is busy with something else.
OUTAGE_SECONDS = 20
# What is due is noticed by then, where the machine is busy with something else.
LATE_SECONDS = 20
# Longer than anything takes that is done while a lock is held.
LONG = 600
# More entries than a node keeps of the log of a group (65,536).
OUTRUN = 70_000

# How long money is transferred.
BANK_SECONDS = 30
BANK = pathlib.Path(__file__).parent.parent / "examples" / "bank.py"
# The digest of the script by which node-redlock takes several locks.
CREATE_ALL = "96da70f7716f27d278a5218544df37fd8b0a5e4c"

RELEASE = """
-- a body nobody has seen before, in a layout of its own
if redis.call('GET', KEYS[1]) == ARGV[1]
then
    return redis.call('DEL', KEYS[1])
else return 0 end
"""


def refused(kind, act):
    """Does what must be refused with an error of a kind, and tells what it says."""
    try:
        act()
    except kind as error:
        return str(error)
    raise AssertionError("it was not refused")


def fence(client, name):
    return client.execute_command("FENCE", name)


def locks(claims, one, two):
    """`one` and `two` are clients of two nodes."""
    claim = claims.claim
    with claim("a lock is acquired, is owned, is seen on another node, and is released"):
        lock = one.lock("basic", timeout=LONG)
        assert lock.acquire(blocking=False)
        assert lock.owned() and two.lock("basic").locked()
        lock.release()
        assert not two.lock("basic").locked()
    with claim("a lock is extended by what is asked"):
        with one.lock("extended", timeout=200) as lock:
            lock.extend(300)
            left = two.pttl("extended")
            assert 400_000 < left <= 500_000, left
            lock.extend(250, replace_ttl=True)
            left = two.pttl("extended")
            assert 150_000 < left <= 250_000, left
    with claim("a lock is reacquired for its whole time"):
        with one.lock("again", timeout=200) as lock:
            two.pexpire("again", 100_000)
            lock.reacquire()
            left = two.pttl("again")
            assert 100_000 < left <= 200_000, left
    with claim("of two clients that want a lock at once one gets it"):
        wants = [client.lock("contended", timeout=LONG) for client in (one, two)]
        got = [want.acquire(blocking=False) for want in wants]
        equal(sorted(got), [False, True])
        wants[got.index(True)].release()
    with claim("who waits gives up after its blocking_timeout") as note:
        with one.lock("kept", timeout=LONG):
            start = time.monotonic()
            assert not two.lock("kept", timeout=LONG).acquire(blocking_timeout=0.5)
            waited = time.monotonic() - start
            assert 0.3 < waited < LATE_SECONDS, waited
            note(f"waited {waited:.2f} s")
    with claim("who waits gets the lock when it is released"):
        lock = one.lock("handed-over", timeout=LONG, thread_local=False)
        lock.acquire()
        threading.Timer(0.3, lock.release).start()
        assert two.lock("handed-over", timeout=LONG).acquire(blocking_timeout=PATIENCE)
    with claim("a release by an owner whose time was over is refused, and frees nothing"):
        late = one.lock("overslept", timeout=0.2)
        late.acquire()
        token = late.local.token
        time.sleep(0.3)
        holder = two.lock("overslept", timeout=LONG)
        assert holder.acquire(blocking_timeout=PATIENCE)
        for act in (late.release, late.reacquire, lambda: late.extend(10)):
            late.local.token = token  # a release forgets it
            refused(LockNotOwnedError, act)
        assert holder.owned()


def scripts(claims, one, two):
    claim = claims.claim
    with claim("a script that is not known by its digest gets NOSCRIPT, is loaded, and then does what it says"):
        script = one.register_script(RELEASE)
        refused(NoScriptError, lambda: one.evalsha(script.sha, 1, "scripted", "mine"))
        one.set("scripted", "mine")
        equal(script(keys=["scripted"], args=["other"]), 0)
        equal(script(keys=["scripted"], args=["mine"]), 1)
        equal(two.get("scripted"), None)
    with claim("the scripts of redis-py need not be loaded"):
        digest = one.register_script(Lock.LUA_RELEASE_SCRIPT).sha
        equal(two.evalsha(digest, 1, "scripted", "mine"), 0)
    with claim("a script that nobody knows is refused with a reason"):
        reason = refused(ResponseError, lambda: one.eval("return redis.call('FLUSHALL')", 0))
        assert "script" in reason, reason


def tokens(claims, nodes):
    with claims.claim("fencing tokens rise with each acquisition, on whatever node, and no two hold at once") as note:
        granted, inside = [], []

        def worker(node):
            with node.client() as client:
                for _ in range(10):
                    with client.lock("counted", timeout=LONG, sleep=0.005, blocking_timeout=PATIENCE):
                        inside.append(node)
                        assert len(inside) == 1, "two are inside"
                        granted.append(fence(client, "counted"))
                        inside.pop()

        workers = [threading.Thread(target=worker, args=[node], daemon=True) for node in nodes]
        for one in workers:
            one.start()
        for one in workers:
            one.join(PATIENCE)
        equal(len(granted), 10 * len(nodes))
        assert all(before < after for before, after in zip(granted, granted[1:])), granted
        note(f"{len(granted)} grants, {granted[0]} to {granted[-1]}")
    with claims.claim("a token stays while the lock is extended, and there is none without a lock"):
        with nodes[0].client() as client:
            with client.lock("fenced", timeout=LONG) as lock:
                before = fence(client, "fenced")
                lock.extend(10)
                equal(fence(client, "fenced"), before)
            equal(fence(client, "fenced"), None)
            client.set("plain", "value")
            equal(fence(client, "plain"), None)


def expiry(claims, one, two):
    for protocol, milliseconds in ((2, 400), (3, 1500)):
        with claims.claim(f"a lock set with PX {milliseconds} is free in time and not earlier") as note:
            key = f"expiring:{protocol}"
            before = time.monotonic()
            assert one.set(key, "first", nx=True, px=milliseconds)
            after = time.monotonic()
            until("the lock is free", lambda: two.set(key, "second", nx=True, px=1000 * LONG), PATIENCE)
            free = time.monotonic()
            # It was taken between `before` and `after`.
            assert (free - before) * 1000 >= milliseconds, f"free after {free - before:.3f} s"
            assert free - after <= milliseconds / 1000 + LATE_SECONDS, f"free only after {free - after:.3f} s"
            note(f"free after {(free - before) * 1000:.0f} ms")


def transactions(claims, one, two):
    with claims.claim("MULTI and EXEC take effect together, on all nodes"):
        with one.pipeline(transaction=True) as pipe:
            replies = pipe.set("pair:a", 1).incr("pair:a").set("pair:b", "x").get("pair:a").execute()
        equal(replies, [True, 2, True, b"2"])
        equal(two.mget("pair:a", "pair:b"), [b"2", b"x"])
    with claims.claim("EXEC does nothing when a watched key was changed by another node's client"):
        with one.pipeline() as pipe:
            pipe.watch("pair:a")
            seen = int(pipe.get("pair:a"))
            two.set("pair:a", 100)
            pipe.multi()
            pipe.set("pair:a", seen + 1)
            refused(WatchError, pipe.execute)
        equal(one.get("pair:a"), b"100")
    with claims.claim("EXEC goes through when nothing watched was changed"):
        with one.pipeline() as pipe:
            pipe.watch("pair:a")
            pipe.multi()
            equal(pipe.incr("pair:a").execute(), [101])


def groups(claims, one, two):
    """What concerns keys of several groups."""
    keys = [f"spread:{number}" for number in range(40)]
    with claims.claim("MSET writes keys of all groups at once, MGET reads them, and DEL and EXISTS count them"):
        assert one.mset({key: number for number, key in enumerate(keys)})
        equal(two.mget(keys), [b"%d" % number for number in range(40)])
        equal([two.exists(*keys), one.delete(*keys[:30]), two.exists(*keys)], [40, 30, 10])
    with claims.claim("MULTI and EXEC over all groups take effect together and answer in order"):
        with one.pipeline(transaction=True) as pipe:
            for key in keys:
                pipe.incrby(key, 7)
            replies = pipe.mget(keys).execute()
        equal(replies[:-1], [7] * 30 + [7 + number for number in range(30, 40)])
        equal(replies[-1], [b"%d" % reply for reply in replies[:-1]])
    with claims.claim("EXEC over all groups does nothing when a watched key of one of them was changed"):
        for changed in keys[:8]:
            with one.pipeline() as pipe:
                pipe.watch(*keys)
                two.set(changed, 0)
                pipe.multi()
                for key in keys:
                    pipe.delete(key)
                refused(WatchError, pipe.execute)
        equal(two.exists(*keys), 40)
    with claims.claim("keys with the same {tag} are in one group: a script may take several of them inside MULTI"):
        with one.pipeline(transaction=True) as pipe:
            pipe.evalsha(CREATE_ALL, 2, "{tag}a", "{tag}b", "mine", 1000)
            equal(pipe.set("elsewhere", 1).execute(), [2, True])
    with claims.claim("a script takes locks of all groups or none, and inside MULTI is refused with what to do"):
        equal(two.evalsha(CREATE_ALL, 40, *(f"lock:{key}" for key in keys), "mine", 60_000), 40)
        equal(one.evalsha(CREATE_ALL, 3, "lock:free", "lock:free:2", "lock:spread:7", "mine", 60_000), 0)
        equal(one.exists("lock:free", "lock:free:2"), 0)
        with one.pipeline(transaction=True) as pipe:
            pipe.evalsha(CREATE_ALL, 40, *keys, "mine", 60_000)
            reason = refused(ResponseError, pipe.execute)
        assert "run it by itself" in reason, reason
    with claims.claim("DBSIZE and INFO count the keys of all groups"):
        before = one.dbsize()
        one.mset({f"counted:{number}": 1 for number in range(20)})
        # A group counts its part once it has heard that the rest was done as well.
        until("all are counted", lambda: two.dbsize() == before + 20, PATIENCE)
        equal(one.info()["groups"], GROUPS)


def bank(claims, cluster):
    """Transfers between accounts in different groups, while leaders die."""
    nodes = ",".join(f"{HOST}:{node.port}" for node in cluster.nodes)
    command = [sys.executable, str(BANK), nodes, "--seconds", str(BANK_SECONDS)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    cluster.commands.append(process)
    equal(process.stdout.readline(), "open\n")
    end, killed = time.monotonic() + BANK_SECONDS - 4, []
    with claims.claim("leaders of groups are killed while money is transferred, one after the other") as note:
        while time.monotonic() < end:
            time.sleep(random.uniform(0.2, 1))
            group = random.randrange(GROUPS)
            leader = cluster.leader(group)
            time.sleep(random.uniform(0, 0.3))
            leader.send(signal.SIGKILL)
            leader.ended()
            killed.append(f"{leader.number} of group {group}")
            time.sleep(random.uniform(0.5, 2))
            leader.start()
            # What it was in the middle of is settled by others seconds later.
            time.sleep(random.uniform(1, 3))
        assert len(killed) > 1, killed
        note(f"killed {len(killed)} times: {', '.join(killed)}")
    with claims.claim("every audit found the same sum and no account overdrawn") as note:
        said, _ = process.communicate(timeout=BANK_SECONDS + 60)
        note(said.strip())
        equal(process.returncode, 0)
        transfers, audits = (int(re.search(rf"(\d+) {what}", said)[1]) for what in ("transfers", "audits"))
        assert transfers > 20 and audits > 5, said
    with claims.claim("all transactions come to an end: none is in doubt on any node") as note:
        start = time.monotonic()
        cluster.leader()
        until("nothing is in doubt", lambda: cluster.transactions() == {"transactions": [], "unreachable": []}, PATIENCE)
        note(f"after {time.monotonic() - start:.2f} s")


def protocols(claims, node):
    for protocol in (2, 3):
        with claims.claim(f"RESP{protocol} clients are served"):
            with node.client(protocol=protocol, decode_responses=True) as client:
                assert client.ping() and client.set("protocol", protocol)
                equal(client.get("protocol"), str(protocol))
                equal(client.set("protocol", "x", nx=True), None)


def status(claims, cluster):
    with claims.claim("each group comes to be led by the node that it prefers, so that all nodes have work") as note:
        start = time.monotonic()
        led = lambda: [cluster.leader(group).number for group in range(GROUPS)]
        until("they are", lambda: led() == [1 + group % 3 for group in range(GROUPS)], PATIENCE)
        note(f"after {time.monotonic() - start:.2f} s")
    with claims.claim("quorate status -o json tells who leads each group, and of each node what it is there and how far"):

        def tells():
            leader = cluster.leader()
            for asked in cluster.nodes:
                view = cluster.view(asked)
                assert view, "it shows nothing"
                equal(sorted(view), ["groups", "nodes"])
                equal([group["group"] for group in view["groups"]], list(range(GROUPS)))
                equal(led_by(view, 0), leader.number)
                equal([node["id"] for node in view["nodes"]], [1, 2, 3])
                for node, shown in zip(cluster.nodes, view["nodes"]):
                    equal(sorted(shown), ["address", "groups", "id", "reachable"])
                    equal((shown["address"], shown["reachable"]), (f"{HOST}:{node.port}", True))
                    equal([group["group"] for group in shown["groups"]], list(range(GROUPS)))
                    for group in shown["groups"]:
                        equal(sorted(group), ["applied", "commit", "group", "leader", "role", "term"])
                        led = led_by(view, group["group"])
                        equal(group["role"], "leader" if node.number == led else "follower")
                        assert all(isinstance(group[name], int) for name in ("term", "commit", "applied")), group
                        assert group["applied"] <= group["commit"], group

        # Who leads may change between two looks.
        eventually("it does", tells, PATIENCE)
    with claims.claim("quorate status without -o is a table"):
        lines = []

        def shows():
            lines[:] = cluster.status(cluster.nodes[0]).stdout.splitlines()
            equal(len(lines), 1 + 3 * GROUPS)

        eventually("it does", shows, PATIENCE)
        equal(lines[0].split(), ["group", "node", "role", "term", "leader", "commit", "applied", "address"])


def table(claims, one, two):
    """The lock table: sessions, and those who wait in line."""
    with claims.claim("a session's lock is refused to another, its token released once, and the next token is higher"):
        ann, bob = open_session(one, LONG), open_session(two, LONG)
        token = acquire(one, ann, "table", 0)
        equal(acquire(two, ann, "table", 0), token)
        equal(acquire(two, bob, "table", 0), None)
        equal(one.execute_command("LOCK.RELEASE", bob, "table", token), 0)
        equal(one.execute_command("LOCK.RELEASE", ann, "table", token), 1)
        assert acquire(two, bob, "table", 0) > token
        one.execute_command("LOCK.CLOSE", ann)
        one.execute_command("LOCK.CLOSE", bob)
    with claims.claim("the lock of a session that ended goes to who waits, in time and not earlier") as note:
        bob = open_session(two, LONG)

        def held_by_ann():
            start = time.monotonic()
            ann = open_session(one, 1)
            with contextlib.suppress(ResponseError):  # its lease was over before it had the lock
                acquire(one, ann, "inherited", 0)
                return start

        start = until("it is held", held_by_ann, PATIENCE)
        assert acquire(two, bob, "inherited", PATIENCE * 1000)
        waited = time.monotonic() - start
        assert 1 <= waited < 1 + LATE_SECONDS, f"{waited:.2f} s"
        note(f"after {waited:.2f} s")


def lock_command(claims, cluster):
    def run(name, *command, **options):
        process = cluster.locked(name, *command, **options)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said.split()

    with claims.claim("quorate lock runs a command with the lock's name and token, and ends as it does"):
        status, said = run("command", "sh", "-c", "echo $QUORATE_LOCK $QUORATE_TOKEN; exit 7")
        equal((status, said[0]), (7, "command"))
        assert int(run("command", "sh", "-c", "echo $QUORATE_TOKEN")[1][0]) > int(said[1])
    with claims.claim("quorate lock ends with 3 if the lock is not acquired in time"):
        holder = cluster.locked("command", "sh", "-c", "echo held; sleep 600")
        equal(holder.stdout.readline(), "held\n")
        equal(run("command", "true", wait="300ms")[0], 3)
        holder.terminate()
        holder.wait(PATIENCE)
        equal(run("command", "true")[0], 0)


def open_session(client, seconds):
    return client.execute_command("LOCK.OPEN", random.getrandbits(63), seconds * 1000)


def acquire(client, session, name, milliseconds):
    return client.execute_command("LOCK.ACQUIRE", session, name, milliseconds)


def first_written_after(writers, moment):
    """When the first write was acknowledged that began after a moment."""
    ends = [end for writer in writers for began, end in list(writer.acknowledged) if began > moment]
    return min(ends, default=None)


def kill_the_leader(claims, cluster, writers):
    """Kills the leader while a lock is held and writes go on; tells the node that was killed, and a command that runs on."""
    leader = cluster.leader()
    one, two = (node.client() for node in cluster.others(leader))
    held = leader.client().lock("held", timeout=LONG)
    assert held.acquire(blocking=False)
    token, grant = held.local.token, fence(one, "held")
    ann, bob = open_session(one, LONG), open_session(two, LONG)
    first, line = acquire(one, ann, "line", 0), []
    waiter = threading.Thread(target=lambda: line.append(acquire(two, bob, "line", PATIENCE * 1000)), daemon=True)
    waiter.start()
    # Longer than its lease of 10 s, which it has to renew.
    command = cluster.locked("command", "sh", "-c", "echo held; sleep 14; echo done")
    equal(command.stdout.readline(), "held\n")
    killed = time.monotonic()
    leader.send(signal.SIGKILL)
    leader.ended()
    with claims.claim(f"writes go on within {OUTAGE_SECONDS} s of a kill -9 of the leader") as note:
        went_on = until("a write", lambda: first_written_after(writers, killed), PATIENCE)
        assert went_on - killed < OUTAGE_SECONDS, f"it took {went_on - killed:.2f} s"
        note(f"it took {went_on - killed:.2f} s")
    with claims.claim("a lock that was held through it is held, with the same token, on the nodes that are left"):
        equal([fence(one, "held"), fence(two, "held")], [grant, grant])
        equal([one.get("held"), two.get("held")], [token, token])
        assert 0 < two.pttl("held") <= 1000 * LONG
    with claims.claim("nobody else can take it"):
        assert not one.lock("held", timeout=1).acquire(blocking=False)
        assert not two.lock("held", timeout=1).acquire(blocking_timeout=0.3)
    with claims.claim("its owner extends and releases it through another node; the next token is higher"):
        mine = one.lock("held", timeout=LONG)
        mine.local.token = token
        mine.extend(LONG)
        equal(fence(two, "held"), grant)
        mine.release()
        with two.lock("held", timeout=LONG):
            assert fence(one, "held") > grant
    with claims.claim("who waited in line through it is granted the lock when its holder releases it"):
        assert not line, "it was granted early"
        equal(acquire(one, ann, "line", 0), first)
        equal(one.execute_command("LOCK.RELEASE", ann, "line", first), 1)
        waiter.join(PATIENCE)
        assert line and line[0] > first, line
    with claims.claim("quorate status shows who cannot be reached, and another leader"):

        def shows():
            view = cluster.view(cluster.others(leader)[0])
            assert view, "it shows nothing"
            shown = next(node for node in view["nodes"] if node["id"] == leader.number)
            equal((shown["reachable"], shown["groups"]), (False, []))
            assert all(group["leader"] not in (None, leader.number) for group in view["groups"]), view

        eventually("it does", shows, PATIENCE)
    return leader, command


def outrun(client):
    """Writes more than a node keeps of the log of a group."""
    for first in range(0, OUTRUN, 1000):
        with client.pipeline(transaction=False) as pipe:
            for number in range(first, first + 1000):
                pipe.set(f"outrun:{{one group}}:{number % 5000}", number)
            pipe.execute()


def restart(claims, cluster, node):
    with claims.claim("the node that was killed comes back, is sent a snapshot, and catches up") as note:
        outrun(cluster.others(node)[0].client())
        assert not list(node.data.glob("*.snapshot")), "it has one of its own"
        start = time.monotonic()
        node.start()
        other = cluster.others(node)[0]

        def caught_up():
            view = cluster.view(other)
            by_number = view and {shown["id"]: shown for shown in view["nodes"]}
            if not view or any(group["leader"] is None for group in view["groups"]):
                return False
            shown = by_number[node.number]["groups"]
            return len(shown) == GROUPS and all(group["applied"] >= aim[group["group"]] for group in shown)

        groups = [group for shown in cluster.view(other)["nodes"] for group in shown["groups"]]
        aim = [max(group["commit"] for group in groups if group["group"] == at) for at in range(GROUPS)]
        until("it has applied what was committed", caught_up, PATIENCE)
        assert list(node.data.glob("*.snapshot")), "it has no snapshot"
        note(f"{sum(aim)} entries, {time.monotonic() - start:.2f} s after its start")
    with claims.claim("it serves what was written while it was away"):
        with node.client() as client:
            assert client.set("back", "yes") and client.get("back") == b"yes"


def nothing_is_lost(claims, cluster, writers, when):
    with claims.claim(f"every acknowledged write is there after {when}") as note:
        written = [pair for writer in writers for pair in writer.written]
        assert len(written) > 100, f"only {len(written)} writes were acknowledged"
        for node in cluster.nodes:
            with node.client() as client:
                for first in range(0, len(written), 100):
                    keys, values = zip(*written[first : first + 100])
                    found = client.mget(keys)
                    lost = [key for key, value, is_ in zip(keys, values, found) if is_ != b"%d" % value]
                    assert not lost, f"node {node.number} lost {lost}"
        note(f"{len(written)} writes on each of {len(cluster.nodes)} nodes")
    with claims.claim(f"each acknowledged INCR counts once after {when}") as note:
        counted = sum(writer.counted for writer in writers)
        unknown = sum(writer.unknown for writer in writers)
        found = int(cluster.nodes[0].client().get("counter"))
        assert counted <= found <= counted + unknown, f"{found} of {counted}, {unknown} unknown"
        note(f"{found} counted, {counted} acknowledged, {unknown} unknown")


def kill_all(claims, cluster, writers):
    keeper = cluster.nodes[0].client()
    held = keeper.lock("kept-by-disks", timeout=LONG)
    assert held.acquire(blocking=False)
    grant = fence(keeper, "kept-by-disks")
    for node in cluster.nodes:
        node.send(signal.SIGKILL)
    for node in cluster.nodes:
        node.ended()
    for writer in writers:
        writer.stop()
    start = time.monotonic()
    for node in cluster.nodes:
        node.start()
    with claims.claim("three nodes that were killed at once come back and lead") as note:
        cluster.leader()
        note(f"after {time.monotonic() - start:.2f} s")
    with claims.claim("a lock that was held through it is held, with the same token"):
        equal(fence(keeper, "kept-by-disks"), grant)
        assert held.owned()
        assert not cluster.nodes[1].client().lock("kept-by-disks", timeout=1).acquire(blocking=False)
        held.release()
    nothing_is_lost(claims, cluster, writers, "a kill -9 of all three at once")


def without_a_quorum(claims, cluster):
    """Two of three nodes are killed in the middle of transactions."""
    one, *others = cluster.nodes
    keys = [f"spread:{number}" for number in range(20)]
    asked = {
        "MSET": lambda node: node.mset(dict.fromkeys(keys, 1)),
        "MGET": lambda node: node.mget(keys),
        "SET": lambda node: node.set("spread:0", 1),
        "GET": lambda node: node.get("spread:0"),
        "WATCH": lambda node: node.pipeline().watch("spread:0"),
    }
    writing = threading.Event()

    def write():
        client = one.client(retries=0)
        with contextlib.suppress(redis.exceptions.RedisError):
            while True:
                client.mset(dict.fromkeys(keys, 2))
                writing.set()

    threading.Thread(target=write, daemon=True).start()
    assert writing.wait(PATIENCE)
    for node in others:
        node.send(signal.SIGKILL)
    for node in others:
        node.ended()
    with claims.claim("without a quorum every request ends, with an error that says so") as note:
        took, start = {}, time.monotonic()

        def end(name, act):
            kinds = (redis.exceptions.ClusterDownError, redis.exceptions.TryAgainError)
            reason = refused(kinds, lambda: act(one.client(retries=0)))
            assert "quorum" in reason, reason
            took[name] = time.monotonic() - start

        requests = [threading.Thread(target=end, args=asked, daemon=True) for asked in asked.items()]
        for request in requests:
            request.start()
        for request in requests:
            request.join(PATIENCE)
        equal(sorted(took), sorted(asked))
        note(", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
    for node in others:
        node.start()
    with claims.claim("with a quorum again, nothing stays in doubt, and what was written was written whole"):
        cluster.leader()
        until("nothing is in doubt", lambda: cluster.transactions() == {"transactions": [], "unreachable": []}, PATIENCE)
        assert len(set(others[0].client().mget(keys[1:]))) == 1


def all_of_it(connection, sent):
    """Sends, and reads until the other end closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):  # it may close before it has heard everything
        connection.sendall(sent)
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(4096):
            received += part
    return received


def bad_input(claims, cluster):
    node = cluster.nodes[0]
    good = node.client()
    bad = {
        "garbage": b"\x00\xff\x13\x37 garbage\r\n\r\n\xfe" * 100,
        "a request of a billion parts": b"*1000000000\r\n",
        "a request of minus five parts": b"*-5\r\n$4\r\nPING\r\n",
        "a part of a gigabyte": b"*2\r\n$3\r\nGET\r\n$1073741824\r\n",
        "a part that is longer than it says": b"*1\r\n$2\r\nPING\r\n",
        "a length of four million digits": b"*1\r\n$4" + b"0" * (4 << 20),
    }
    for what, sent in bad.items():
        with claims.claim(f"{what} gets an error and ends the connection; others are served"):
            with node.raw() as connection:
                reply = all_of_it(connection, sent)
            assert b"-ERR Protocol error" in reply, reply
            assert good.set("good", what) and good.get("good") == what.encode()
    with claims.claim("half a request does nothing, held or cut off"):
        half = [node.raw() for _ in range(50)]
        for connection in half:
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$5\r\nval")
        assert good.ping() and good.get("half") is None
        for connection in half:
            connection.close()
        assert good.ping() and good.get("half") is None
    with claims.claim("a key or a value over its limit gets an error that says so, and the connection goes on"):
        for key, value, limit in (("k" * 1025, "v", "1024"), ("k", b"v" * ((512 << 10) + 1), "524288")):
            reason = refused(ResponseError, lambda: good.set(key, value))
            assert limit in reason, reason
        assert good.ping()
    with claims.claim("an unknown command and a wrong number of arguments get errors that name the command"):
        for command, named in ((("FLUSHALL",), "flushall"), (("GET",), "'get'"), (("INCR", "good"), "integer")):
            reason = refused(ResponseError, lambda: good.execute_command(*command))
            assert named in reason.lower(), reason
    with claims.claim("garbage where the nodes talk to each other changes nothing"):
        for sent in (b"\xff" * 4096, b"quorate", b"quorate\x01" + b"\xff" * 24, b"GET / HTTP/1.1\r\n\r\n"):
            for port in cluster.peer_ports:
                with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
                    connection.sendall(sent)
        assert good.set("good", "still") and cluster.leader()
    with claims.claim("all nodes run on, within their memory") as note:
        assert all(node.runs() for node in cluster.nodes)
        resident = [node.resident_mib() for node in cluster.nodes]
        assert max(resident) < 512, resident
        note("resident " + ", ".join(f"{mib} MiB" for mib in resident))


def in_peace(claims, cluster):
    with claims.claim("nodes that are asked to end do, and say so by their exit status"):
        for node in cluster.nodes:
            node.send(signal.SIGTERM)
        equal([node.ended() for node in cluster.nodes], [0, 0, 0])


def everything(claims, cluster):
    with claims.claim("three processes elect a leader") as note:
        start = time.monotonic()
        cluster.leader()
        note(f"after {time.monotonic() - start:.2f} s")
    status(claims, cluster)
    one, two = (node.client() for node in cluster.others(cluster.leader()))
    locks(claims, one, two)
    scripts(claims, one, two)
    tokens(claims, cluster.nodes)
    expiry(claims, one, two)
    transactions(claims, one, two)
    groups(claims, one, two)
    table(claims, one, two)
    lock_command(claims, cluster)
    protocols(claims, cluster.nodes[0])

    writers = [Writer(node) for node in cluster.nodes]
    for writer in writers:
        writer.start()
    until("every node acknowledges writes", lambda: all(len(w.acknowledged) > 50 for w in writers), PATIENCE)
    killed, command = kill_the_leader(claims, cluster, writers)
    restart(claims, cluster, killed)
    with claims.claim("quorate lock kept the lock through the kill, and its command came to its end"):
        equal((command.communicate(timeout=PATIENCE)[0], command.returncode), ("done\n", 0))
    kill_all(claims, cluster, writers)
    bank(claims, cluster)
    without_a_quorum(claims, cluster)
    bad_input(claims, cluster)
    in_peace(claims, cluster)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=pathlib.Path, help="the quorate binary")
    binary = parser.parse_args().binary.resolve()

    def too_long(*_):
        raise SystemExit(f"e2e: ended before it was done; {LIMIT_SECONDS} s is the limit")

    signal.signal(signal.SIGALRM, too_long)
    signal.signal(signal.SIGTERM, too_long)
    signal.alarm(LIMIT_SECONDS)
    print(f"redis-py {redis.__version__}, {binary}")
    claims = Claims()
    with tempfile.TemporaryDirectory(prefix="quorate-e2e-") as directory:
        with Cluster(str(binary), pathlib.Path(directory)) as cluster:
            try:
                everything(claims, cluster)
            except Exception as error:  # what comes between the claims failed, so the rest could not be tried
                claims.failed += 1
                print(f"FAILED  the rest could not be tried: {type(error).__name__}: {error}")
            if claims.failed:
                for node in cluster.nodes:
                    print(f"-- node {node.number} said:\n{node.log.read_text(errors='replace')[-4000:]}")
    print(f"{claims.passed} passed, {claims.failed} failed")
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main())
