"""Environments at rest, against a list of every single one."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from broker.simulate.idle import Idle
from broker.simulate.versions import Versions


@dataclass
class Slot:
    tick: int
    connected: bool
    closed: bool = False
    alive: bool = True


class Plain:
    """The same, slot by slot."""

    def __init__(self, environment_ticks: int, connection_ticks: int) -> None:
        self.kept, self.held = environment_ticks, connection_ticks
        self.slots: list[Slot] = []

    def put(self, tick: int, connected: int, bare: int) -> None:
        self.slots += [Slot(tick, True) for _ in range(connected)]
        self.slots += [Slot(tick, False) for _ in range(bare)]

    def take(self, count: int) -> tuple[int, int]:
        alive = [slot for slot in self.slots if slot.alive]
        alive.sort(key=lambda slot: (slot.closed, -slot.tick, slot.connected))
        taken = alive[:count]
        for slot in taken:
            self.slots.remove(slot)
        connected = sum(slot.connected for slot in taken)
        return connected, len(taken) - connected

    def age(self, tick: int) -> None:
        for slot in self.slots:
            if slot.connected and tick - slot.tick >= self.held:
                slot.connected, slot.closed = False, True
            slot.alive = slot.alive and tick - slot.tick < self.kept
        self.slots = [slot for slot in self.slots if slot.alive or slot.connected]

    @property
    def alive(self) -> int:
        return sum(slot.alive for slot in self.slots)

    @property
    def open(self) -> int:
        return sum(slot.connected for slot in self.slots)


steps = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 12)), max_size=30)


@given(st.integers(1, 8), st.integers(1, 8), steps)
def test_it_counts_as_a_list_of_every_slot_does(
    environment_ticks: int, connection_ticks: int, happening: list[tuple[int, int, int]]
) -> None:
    idle = Idle(environment_ticks, connection_ticks)
    plain = Plain(environment_ticks, connection_ticks)
    for tick, (connected, bare, count) in enumerate(happening):
        assert idle.take(count) == plain.take(count)
        idle.put(tick, connected, bare)
        plain.put(tick, connected, bare)
        idle.age(tick)
        plain.age(tick)
        assert (idle.alive, idle.open) == (plain.alive, plain.open)


def test_the_last_used_is_used_first() -> None:
    idle = Idle(100, 100)
    idle.put(1, 3)
    idle.put(2, 0, 2)
    idle.put(3, 1)
    assert idle.take(2) == (1, 1)
    assert idle.take(9) == (3, 1)
    assert (idle.alive, idle.open) == (0, 0)


def test_a_connection_that_is_closed_as_idle_leaves_the_environment() -> None:
    idle = Idle(environment_ticks=9, connection_ticks=3)
    idle.put(0, 5)
    idle.age(2)
    assert (idle.alive, idle.open) == (5, 5)
    idle.age(3)
    assert (idle.alive, idle.open) == (5, 0)
    assert idle.take(1) == (0, 1)
    idle.age(9)
    assert (idle.alive, idle.open) == (0, 0)


def test_an_environment_that_is_reaped_leaves_its_connection_open() -> None:
    idle = Idle(environment_ticks=3, connection_ticks=9)
    idle.put(0, 5)
    idle.age(3)
    assert (idle.alive, idle.open) == (0, 5)
    assert idle.take(1) == (0, 0)
    idle.age(9)
    assert (idle.alive, idle.open) == (0, 0)


def test_an_old_version_is_never_used_again_and_holds_its_connections() -> None:
    versions = Versions(kept_ticks=10, connection_ticks=10)
    versions.put_back(0, 4, 0)
    versions.deploy(busy=2)
    assert versions.take(9) == (0, 0)
    versions.put_back(1, 3, 0)
    assert versions.take(9) == (1, 0)  # two of the three were old
    assert (versions.alive, versions.open) == (6, 6)
    versions.age(10)
    assert versions.alive == 2
    versions.age(11)
    assert (versions.alive, versions.open) == (0, 0)
