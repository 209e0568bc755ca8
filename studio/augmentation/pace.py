"""How many requests may be under way at once, by what the server bears; it must not know what is asked.

A server that is asked too much gets three quarters of the load after a pause; 25 successes add one again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

SHRINK = 0.75
GROW_AFTER = 25


class Stopped(Exception):
    """The job was paused, cancelled or ended while a request waited for its turn."""


class Pace:
    """Turns for requests from several threads; `most` is the limit that it starts with and never exceeds."""

    def __init__(self, most: int, clock: Callable[[], float] = monotonic) -> None:
        self.most = most
        self.limit = most
        self._clock = clock
        self._turns = threading.Condition()
        self._under_way = 0
        self._successes = 0
        self._open_at = 0.0
        self._shrunk_at = 0.0
        self._stopped = threading.Event()

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait for a turn and hold it for the block; gives the moment at which it began.

        Raises:
            Stopped: nothing is asked any more.
        """
        with self._turns:
            while not self._stopped.is_set() and (self._under_way >= self.limit or self._clock() < self._open_at):
                self._turns.wait(max(0.01, self._open_at - self._clock()) if self._under_way < self.limit else None)
            if self._stopped.is_set():
                raise Stopped
            self._under_way += 1
            began = self._clock()
            # Whoever was woken in a pause sleeps again: so each one that goes wakes the next.
            self._turns.notify()
        try:
            yield began
        finally:
            with self._turns:
                self._under_way -= 1
                self._turns.notify()

    def succeeded(self) -> None:
        """Count a success."""
        with self._turns:
            self._successes = self._successes + 1 if self.limit < self.most else 0
            if self._successes >= GROW_AFTER:
                self.limit += 1
                self._successes = 0
                self._turns.notify()

    def refused(self, began: float, pause_s: float) -> None:
        """Ask less and pause. Of requests that began before the last cut only the pause counts: they are one burst."""
        with self._turns:
            self._open_at = max(self._open_at, self._clock() + pause_s)
            if began >= self._shrunk_at:
                self.limit = max(1, int(self.limit * SHRINK))
                self._shrunk_at = self._clock()
                self._successes = 0
            self._turns.notify_all()

    def wait(self, seconds: float) -> None:
        """Sit a pause of one request out; a stop ends it.

        Raises:
            Stopped: nothing is asked any more.
        """
        if self._stopped.wait(seconds):
            raise Stopped

    def stop(self) -> None:
        """Let every request that waits go; those under way end first."""
        with self._turns:
            self._stopped.set()
            self._turns.notify_all()
