"""Claims about a running cluster: each is tried, counted and told."""

import contextlib
import time
import traceback


class Claims:
    """What held and what did not."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextlib.contextmanager
    def claim(self, text):
        """The body shows that `text` is true. It may `note` what it measured."""
        notes, start = [], time.monotonic()
        try:
            yield notes.append
        except Exception as error:  # a claim that cannot be tried does not hold
            self.failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = str(error) or where.line
            print(f"FAILED  {text}: {type(error).__name__}: {reason} ({where.name}, line {where.lineno})", flush=True)
        else:
            self.passed += 1
            noted = "".join(f"; {note}" for note in notes)
            print(f"ok      {text} [{time.monotonic() - start:.2f} s{noted}]", flush=True)


def equal(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


def until(what, look, seconds):
    """Looks until it finds something true, for so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def eventually(what, act, seconds):
    """Tries again what is seen at different moments, as long as it changes between them."""

    def tried():
        try:
            act()
        except AssertionError as error:
            reasons.append(error)
            return False
        return True

    reasons = []
    try:
        until(what, tried, seconds)
    except AssertionError as error:
        raise reasons[-1] if reasons else error
