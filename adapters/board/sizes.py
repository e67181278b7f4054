#!/usr/bin/env python3
"""What the machines take on a chip: flash, RAM, and the deepest stack of their calls.

Builds the images of this folder for three chips, runs the world on an emulated Cortex-M3 (`qemu-system-arm`), and prints
a table, or JSON with `-o json`. Lists every place in the lock service from which a panic can be reached. Fails when a
budget is exceeded, when the board says anything else than a server does, or when there is a panic that is not ours.
"""

import argparse
import json
import pathlib
import re
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CHIPS = {
    "thumbv6m-none-eabi": "Cortex-M0+",
    "thumbv7m-none-eabi": "Cortex-M3",
    "thumbv7em-none-eabihf": "Cortex-M4F",
}
EMULATED = "thumbv7m-none-eabi"
# Raft of three nodes with the lock table, 32 entries of up to 64 bytes: the whole image, and machine and stack.
FLASH_BUDGET = 48 * 1024
RAM_BUDGET = 12 * 1024
# Places outside this project's own asserts that the compiler cannot prove to be out of reach, and why they are.
KNOWN = {
    "/postcard-": "postcard writes a number of at most 64 bits into the ten bytes that the longest takes",
    "library/core/src/time.rs": "serde refuses a span of more seconds than fit before it makes one",
}
RUN_SECONDS = 300


def build(chip):
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--target", chip]
    subprocess.run(command, cwd=HERE, check=True)
    return HERE / "target" / chip / "release"


class Image:
    """The sections of an image that are loaded, as 32-bit ELF has them."""

    def __init__(self, path):
        self.bytes = path.read_bytes()
        (start,) = struct.unpack_from("<I", self.bytes, 32)
        size, count = struct.unpack_from("<HH", self.bytes, 46)
        headers = [struct.unpack_from("<IIIIII", self.bytes, start + size * at) for at in range(count)]
        # (kind, address, offset, length) of what takes memory: 1 is content, 8 is empty.
        self.sections = [(k, a, o, n) for _, k, f, a, o, n in headers if f & 2 and n]

    def flash(self):
        return sum(length for kind, _, _, length in self.sections if kind == 1)

    def at(self, address, length):
        for kind, start, offset, size in self.sections:
            if kind == 1 and start <= address and address + length <= start + size:
                return self.bytes[offset + address - start :][:length]
        return b""

    def panics(self):
        """Where a panic can be reached from: what `core::panic::Location`s there are, as (file, line)."""
        found = set()
        for kind, _, offset, size in self.sections:
            for at in range(offset, offset + size - 15, 4) if kind == 1 else ():
                name, length, line, column = struct.unpack_from("<IIII", self.bytes, at)
                if 3 < length < 300 and 0 < line < 5000 and 0 < column < 300:
                    file = self.at(name, length)
                    if file.endswith(b".rs") and file.isascii():
                        found.add((file.decode(), line))
        return sorted(found)


def sort_panics(panics):
    """Splits places of panics into our own asserts, those known, and others."""
    asserts, known, others = [], [], []
    for file, line in panics:
        source = pathlib.Path(file)
        reason = next((reason for part, reason in KNOWN.items() if part in file), None)
        if reason:
            known.append(reason)
        elif "/core/src/" in file and source.is_file() and "assert" in source.read_text().splitlines()[line - 1]:
            asserts.append(f"{file.split('/core/src/')[-1]}:{line}")
        else:
            others.append(f"{file}:{line}")
    return asserts, sorted(set(known)), others


def run_world():
    """Runs the world on the board, and returns what it printed: sizes in bytes, the deepest stack, sizes by capacity,
    and the digests."""
    command = ["qemu-system-arm", "-machine", "lm3s6965evb", "-nographic", "-monitor", "none", "-serial", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel"]
    image = HERE / "target" / EMULATED / "release" / "world"
    done = subprocess.run([*command, image], capture_output=True, text=True, timeout=RUN_SECONDS)
    numbers = dict(re.findall(r"^(size \w+|stack) (\d+)$", done.stdout, re.MULTILINE))
    digests = re.findall(r"^digest \d+ ([0-9a-f]{16}) (true|false)$", done.stdout, re.MULTILINE)
    if done.returncode != 0 or not digests or "stack" not in numbers:
        sys.exit(f"the world on the board failed (status {done.returncode}):\n{done.stdout}{done.stderr}")
    capacities = re.findall(r"^ram (\w+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    fields = ("machine", "voters", "entries", "rows", "bytes")
    capacities = [dict(zip(fields, [name, *map(int, rest)])) for name, *rest in capacities]
    return {name: int(number) for name, number in numbers.items()}, capacities, [digest for digest, _ in digests]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    output = parser.parse_args().output

    rows = []
    for chip, name in CHIPS.items():
        folder = build(chip)
        flash = {image: Image(folder / image).flash() for image in ("bare", "raft", "locks")}
        rows.append({"target": chip, "chip": name, **{f"{image}_flash": size for image, size in flash.items()}})
    asserts, known, others = sort_panics(Image(HERE / "target" / "thumbv7em-none-eabihf" / "release" / "panics").panics())
    numbers, capacities, digests = run_world()

    flash = next(row["locks_flash"] for row in rows if row["target"] == EMULATED)
    ram = numbers["size locks"] + numbers["stack"]
    result = {
        "flash": rows,
        "ram": {"raft": numbers["size raft"], "locks": numbers["size locks"], "stack": numbers["stack"]},
        "capacities": capacities,
        "digests": digests,
        "panics": {"asserts": asserts, "known": known, "others": others},
        "budget": {"flash": [flash, FLASH_BUDGET], "ram": [ram, RAM_BUDGET]},
    }
    claims = [flash <= FLASH_BUDGET, ram <= RAM_BUDGET, not others]
    if output == "json":
        print(json.dumps(result, indent=2))
    else:
        print(f"{'flash, bytes':24}{'nothing':>10}{'Raft':>10}{'locks':>10}")
        for row in rows:
            print(f"{row['chip']:24}{row['bare_flash']:>10}{row['raft_flash']:>10}{row['locks_flash']:>10}")
        print(f"\n{'RAM, bytes':24}{'':>10}{numbers['size raft']:>10}{numbers['size locks']:>10}")
        print(f"{'deepest stack of a call':24}{'':>10}{'':>10}{numbers['stack']:>10}")
        print("\nRAM of a machine, bytes: voters, entries, and sessions, locks and waiters each")
        for row in capacities:
            print("{machine:8}{voters:>4}{entries:>6}{rows:>6}{bytes:>10}".format(**row))
        print(f"\nthe board says what a server says: {', '.join(digests)}; allocations: none, no allocator is linked")
        print(f"panics in reach: {len(asserts)} asserts on bugs of our own: {', '.join(asserts)}")
        print("".join(f"  {reason}\n" for reason in known) + "".join(f"  NOT KNOWN: {place}\n" for place in others), end="")
        print(f"budget: flash {flash} of {FLASH_BUDGET}, RAM with stack {ram} of {RAM_BUDGET}")
        print(f"{sum(claims)} passed, {len(claims) - sum(claims)} failed")
    sys.exit(0 if all(claims) else 1)


if __name__ == "__main__":
    main()
