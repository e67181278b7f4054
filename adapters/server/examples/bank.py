"""A bank on a cluster of quorate: clients transfer money between accounts in different groups, others look at all accounts.

    pip install redis
    quorate dev
    python3 adapters/server/examples/bank.py 127.0.0.1:7411,127.0.0.1:7412,127.0.0.1:7413

A transfer watches two accounts, and moves money from one to the other if there is enough: one transaction, which takes
effect in both groups or in neither. So the sum over all accounts is always the same, and no account is ever overdrawn,
whatever nodes die meanwhile. An audit reads all accounts with one MGET. Ends with 1 if one finds anything else.
"""

import argparse
import random
import sys
import threading
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# What each account has at first.
DEPOSIT = 100
# The node did not answer, or could not; or somebody else was faster. Anything else is a mistake.
AGAIN = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)


class Client:
    """Talks to one node as long as that answers, then to the next."""

    def __init__(self, addresses):
        self.addresses = random.sample(addresses, len(addresses))
        self.connection = None

    def node(self):
        if self.connection is None:
            host, port = self.addresses[0].rsplit(":", 1)
            patience = {"socket_timeout": 8, "socket_connect_timeout": 2, "retry": Retry(NoBackoff(), 0)}
            self.connection = redis.Redis(host, int(port), **patience)
        return self.connection

    def next(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.addresses.append(self.addresses.pop(0))


class Bank:
    """All accounts, and what went on."""

    def __init__(self, addresses, accounts):
        # Without a {tag}, they are spread over all groups.
        self.addresses, self.accounts = addresses, [f"bank:account:{number}" for number in range(accounts)]
        self.lock, self.wrong = threading.Lock(), []
        self.counts = {"transfers": 0, "conflicts": 0, "poor": 0, "again": 0, "audits": 0}
        self.longest, self.last = 0.0, time.monotonic()

    def count(self, what):
        with self.lock:
            self.counts[what] += 1
            if what == "transfers":
                now = time.monotonic()
                self.longest, self.last = max(self.longest, now - self.last), now

    def found(self, what):
        with self.lock:
            self.wrong.append(what)

    def open(self):
        """Gives every account its deposit, at once."""
        self.try_until(Client(self.addresses), lambda node: node.mset(dict.fromkeys(self.accounts, DEPOSIT)), 30)
        self.last = time.monotonic()

    def try_until(self, client, act, seconds):
        end = time.monotonic() + seconds
        while True:
            try:
                return act(client.node())
            except AGAIN:
                if time.monotonic() > end:
                    raise
                client.next()
                time.sleep(0.05)

    def transfer(self, node):
        giver, taker = random.sample(self.accounts, 2)
        amount = random.randint(1, DEPOSIT)
        with node.pipeline() as pipe:
            pipe.watch(giver, taker)
            if int(pipe.get(giver)) < amount:
                return self.count("poor")
            pipe.multi()
            pipe.decrby(giver, amount).incrby(taker, amount).execute()
        self.count("transfers")

    def audit(self, node):
        balances = [int(balance) for balance in node.mget(self.accounts)]
        if sum(balances) != DEPOSIT * len(balances) or min(balances) < 0:
            self.found(f"an audit found {balances}")
        self.count("audits")

    def work(self, act, until):
        client = Client(self.addresses)
        while time.monotonic() < until:
            try:
                act(client.node())
            except redis.exceptions.WatchError:
                self.count("conflicts")
            except AGAIN:
                # Whether a transfer took effect may be unknown. It did whole, or not at all.
                self.count("again")
                client.next()
                time.sleep(0.05)
            except Exception as error:  # the others should end as well, and it should be told
                return self.found(f"{type(error).__name__}: {error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nodes", help="HOST:PORT,HOST:PORT,...")
    parser.add_argument("--accounts", type=int, default=16)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--auditors", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    bank = Bank(arguments.nodes.split(","), arguments.accounts)
    bank.open()
    until = time.monotonic() + arguments.seconds
    acts = [bank.transfer] * arguments.clients + [bank.audit] * arguments.auditors
    threads = [threading.Thread(target=bank.work, args=[act, until], daemon=True) for act in acts]
    print("open", flush=True)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(arguments.seconds + 30)
        if thread.is_alive():
            bank.found("a client hangs")
    bank.try_until(Client(bank.addresses), bank.audit, 30)
    print(", ".join(f"{count} {what}" for what, count in bank.counts.items()), end="")
    print(f"; the longest time without a transfer was {bank.longest:.2f} s")
    for wrong in bank.wrong:
        print(wrong)
    return 1 if bank.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
