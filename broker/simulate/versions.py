"""Versions: an application's slots at rest, those of the current version and of older ones."""

from __future__ import annotations

from broker.simulate.idle import Idle, Taken

NEVER = 2**62  # ticks


class Versions:
    """Only the current version's slots are used again; what older ones hold ends by its age.

    A function's environments come when they are needed, and go; `fixed` is how many slots a
    service has, always.
    """

    def __init__(self, kept_ticks: int, connection_ticks: int, fixed: int = 0) -> None:
        self._kept_ticks = kept_ticks
        self._connection_ticks = connection_ticks
        self._fixed = fixed
        self._old: list[Idle] = []
        self.old_busy = 0
        """Slots of older versions that are in use."""
        self.current = self._new()

    def _new(self) -> Idle:
        made = Idle(NEVER if self._fixed else self._kept_ticks, self._connection_ticks)
        made.put(0, 0, self._fixed)
        return made

    @property
    def alive(self) -> int:
        """How many slots rest, of all versions."""
        return self.current.alive + sum(each.alive for each in self._old)

    @property
    def open(self) -> int:
        """How many connections they hold."""
        return self.current.open + sum(each.open for each in self._old)

    def deploy(self, busy: int) -> None:
        """Begin a version; `busy` slots are in use, all of them old from now on."""
        self.current.reap_after(self._kept_ticks)
        self._old.append(self.current)
        self.old_busy = busy
        self.current = self._new()

    def take(self, count: int) -> Taken:
        """Use so many of the current version, or as many as there are."""
        return self.current.take(count)

    def put_back(self, tick: int, connected: int, bare: int) -> None:
        """Let so many rest; those in use for longest, the old version's, come first."""
        old = min(self.old_busy, connected)
        old_bare = min(self.old_busy - old, bare)
        if old or old_bare:
            self.old_busy -= old + old_bare
            self._old[-1].put(tick, old, old_bare)
        self.current.put(tick, connected - old, bare - old_bare)

    def age(self, tick: int) -> None:
        """Close and reap what has been at rest for long enough."""
        for idle in (self.current, *self._old):
            idle.age(tick)
        if not self.old_busy:
            self._old = [each for each in self._old if each.alive or each.open]
