"""A login is obtained once however many want it, and anew once a server has refused it."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from broker.credentials import Credentials
from broker.deadline import Deadline
from broker.errors import ConfigurationError, SecretUnavailable
from broker.secret import Secret
from broker.settings import Settings, Tls
from tests.unit.fakes import FakeClock, settings
from tests.wait import wait_until

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders/app-AbCdEf"
WHOLE = {"username": "app", "password": "old-Zyx", "host": "db.secret", "port": 5433, "dbname": "d"}


class FakeManager:
    """A secret's versions, and who asked for which."""

    def __init__(self, value: Any = None, **changes: Any) -> None:
        self.now = json.dumps({**WHOLE, **changes}) if value is None else value
        self.kept = self.now  # what the extension has
        self.next: str | None = None
        self.on_pending: Callable[[], object] = lambda: None
        self.asked: list[str] = []
        self.failures: list[Exception] = []
        self.gate: threading.Event | None = None

    def cached(self, deadline):
        return self._answer("cached", self.kept)

    def current(self, deadline):
        return self._answer("current", self.now)

    def pending(self, deadline):
        told = self._answer("pending", self.next)
        self.on_pending()
        return told

    def rotate(self, password: str) -> None:
        self.now = json.dumps({**WHOLE, "password": password})

    def _answer(self, what: str, text: str | None) -> str | None:
        self.asked.append(what)
        if self.gate is not None:
            assert self.gate.wait(60)
        if self.failures:
            raise self.failures.pop(0)
        return text


class World:
    """Credentials in front of a fake secret."""

    def __init__(self, manager: FakeManager, **given: Any) -> None:
        self.manager = manager
        self.clock = FakeClock()
        config = Settings(secret_arn=ARN, **given)
        self.credentials = Credentials(config, self.clock)
        self.credentials._source = Secret(config, ARN, self.clock, manager)  # type: ignore[arg-type]

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(30, self.clock)

    def login(self):
        return self.credentials.login(self.deadline)


def test_a_password_is_there_at_once_and_there_is_no_other():
    clock = FakeClock()
    logins = Credentials(settings(), clock)
    login = logins.login(Deadline.after(1, clock))

    assert login.password == "s3cret-pässwörd"
    assert logins.renewed(login, Deadline.after(1, clock)) is None
    assert "s3cret" not in repr(login) + repr(logins)


def test_nothing_is_read_before_it_is_wanted_and_then_once():
    world = World(FakeManager())
    assert world.manager.asked == []

    assert world.login() is world.login()
    assert world.manager.asked == ["cached"]


def test_the_secret_says_who_and_where():
    login = World(FakeManager()).login()

    told = login.settings
    assert (told.user, told.host, told.port, told.database) == ("app", "db.secret", 5433, "d")
    assert login.password == "old-Zyx"


def test_what_is_set_explicitly_wins():
    world = World(FakeManager(), user="me", host="proxy", database="mine", tls=Tls.REQUIRE)

    told = world.login().settings
    assert (told.user, told.host, told.port, told.database) == ("me", "proxy", 5432, "mine")
    assert told.tls is Tls.REQUIRE


@pytest.mark.parametrize(("written", "read"), [("5433", 5433), (5433, 5433), (None, 5432)])
def test_a_port_is_read_as_number_text_or_not_at_all(written, read):
    assert World(FakeManager(port=written)).login().settings.port == read


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("hunter2-Zyx", "not a JSON object with a password"),
        ('["hunter2-Zyx"]', "not a JSON object with a password"),
        ('{"username": "app", "hunter2-Zyx": 1}', "not a JSON object with a password"),
        ('{"password": "hunter2-Zyx", "host": "h", "dbname": "d"}', "no username, and BROKER_USER"),
        ('{"password": "hunter2-Zyx", "username": "u", "host": "h"}', "BROKER_DATABASE is not"),
        (json.dumps({**WHOLE, "password": "hunter2-Zyx", "port": "Zyx"}), "port is not a number"),
        (json.dumps({**WHOLE, "password": "hunter2-Zyx", "port": 99999}), "BROKER_PORT=99999"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_quoted(value, said):
    with pytest.raises(ConfigurationError, match=said) as raised:
        World(FakeManager(value)).login()

    assert "Zyx" not in str(raised.value)
    assert ARN in str(raised.value) or "BROKER_PORT" in str(raised.value)


def test_a_refused_login_is_read_again_once_past_every_cache():
    world = World(FakeManager())
    refused = world.login()
    world.manager.rotate("new")

    other = world.credentials.renewed(refused, world.deadline)

    assert other is not None
    assert other.password == "new"
    assert world.manager.asked == ["cached", "current"]
    assert world.login() is other


def test_in_the_middle_of_a_rotation_the_pending_version_is_the_one():
    world = World(FakeManager())
    refused = world.login()
    world.manager.next = json.dumps({**WHOLE, "password": "pending"})

    other = world.credentials.renewed(refused, world.deadline)

    assert other is not None
    assert other.password == "pending"
    assert world.manager.asked == ["cached", "current", "pending"]


def test_a_rotation_that_finishes_between_two_looks_is_seen_all_the_same():
    world = World(FakeManager())
    refused = world.login()
    manager = world.manager
    manager.on_pending = lambda: manager.rotate("new")

    other = world.credentials.renewed(refused, world.deadline)

    assert other is not None
    assert other.password == "new"
    assert manager.asked == ["cached", "current", "pending", "current"]


def test_a_secret_that_has_nothing_else_to_say_gives_no_other_login():
    world = World(FakeManager())
    refused = world.login()

    assert world.credentials.renewed(refused, world.deadline) is None
    world.manager.next = world.manager.now
    assert world.credentials.renewed(refused, world.deadline) is None
    assert world.login() is refused


def test_one_that_another_thread_has_renewed_is_taken_without_reading():
    world = World(FakeManager())
    refused = world.login()
    world.manager.rotate("new")
    other = world.credentials.renewed(refused, world.deadline)
    world.manager.asked.clear()

    assert world.credentials.renewed(refused, world.deadline) is other
    assert world.manager.asked == []


def together(world: World, act, threads: int = 8) -> list[Any]:
    """Let them all in while the first is still reading; return what each got or met."""
    world.manager.gate = threading.Event()
    got: list[Any] = []

    def one() -> None:
        try:
            got.append(act())
        except Exception as error:
            got.append(error)

    running = [threading.Thread(target=one) for _ in range(threads)]
    for thread in running:
        thread.start()
    wait_until(lambda: world.manager.asked, "the first to ask")
    world.manager.gate.set()
    for thread in running:
        thread.join(60)
    return got


def test_threads_that_want_it_at_once_read_it_once():
    world = World(FakeManager())
    got = together(world, world.login)

    assert len(got) == 8
    assert len(set(map(id, got))) == 1
    assert world.manager.asked == ["cached"]


def test_threads_that_were_refused_at_once_read_it_once_more():
    world = World(FakeManager())
    refused = world.login()
    world.manager.rotate("new")
    world.manager.asked.clear()
    got = together(world, lambda: world.credentials.renewed(refused, world.deadline))

    assert [login.password for login in got] == ["new"] * 8
    assert world.manager.asked == ["current"]


def test_a_failure_is_everybodys_who_waited_and_the_next_reads_again():
    world = World(FakeManager())
    world.manager.failures = [SecretUnavailable("throttled")]
    got = together(world, world.login)

    failed = [error for error in got if isinstance(error, SecretUnavailable)]
    assert failed, "the first met it"
    assert len(world.manager.asked) == 1 + (len(failed) < 8)  # a late one reads it for itself
    assert world.login().password == "old-Zyx"


def test_nobody_waits_for_another_thread_past_the_deadline():
    world = World(FakeManager())
    world.manager.gate = threading.Event()
    reader = threading.Thread(target=world.login)
    reader.start()
    wait_until(lambda: world.manager.asked, "the first to ask")

    with pytest.raises(SecretUnavailable, match="another thread"):
        world.credentials.login(Deadline.after(0.05))
    world.manager.gate.set()
    reader.join(60)


def test_a_forked_child_does_not_wait_for_a_thread_that_is_not_there():
    world = World(FakeManager())
    world.manager.gate = threading.Event()
    reader = threading.Thread(target=world.login)
    reader.start()
    wait_until(lambda: world.manager.asked, "the first to ask")

    child = copy.copy(world.credentials)  # as a fork leaves it
    child.after_fork()
    child._source = Secret(child._settings, ARN, world.clock, FakeManager())  # type: ignore[arg-type]

    assert child.login(Deadline.after(5)).password == "old-Zyx"
    world.manager.gate.set()
    reader.join(60)


def test_what_a_snapshot_kept_is_read_anew_and_a_given_password_stays():
    world = World(FakeManager())
    world.login()
    world.manager.kept = json.dumps({**WHOLE, "password": "new-Zyx"})
    assert world.login().password == "old-Zyx"
    world.credentials.forget()
    assert world.login().password == "new-Zyx"

    given = Credentials(settings(), world.clock)
    given.forget()
    assert given.login(world.deadline).password == "s3cret-pässwörd"
