"""`broker demo`: the main job end to end, and nothing left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import SCHEMES, WIDTHS, Scheme, lines_drawn, opened, unreadable
from tests.wait import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROKER = [sys.executable, "-c", "from broker.cli import main; main()"]


@dataclass(frozen=True)
class Played:
    """What a whole demo left."""

    exit_code: int
    out: str
    err: str
    report: Path
    left_files: list[Path]
    left_processes: list[str]


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder for the stack's temporary files, short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="t", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def temporary() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Play the demo, once for all that look at what it left."""
    report = tmp_path_factory.mktemp("demo") / "report.html"
    with short_folder() as temporary:
        process = start(["demo", "--json", "--report", str(report)], temporary)
        out, err = process.communicate(timeout=280)
        left = list(temporary.iterdir()), processes_using(temporary)
    return Played(process.returncode, out, err, report, *left)


def start(
    command: list[str], temporary: Path, *, under: Sequence[str] = (), **variables: str
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*under, *BROKER, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary), **variables},
    )


def processes_using(folder: Path) -> list[str]:
    """Return the command lines of the processes that mention the folder."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in listing.splitlines() if str(folder) in line]


@pytest.mark.slow
def test_the_demo_keeps_its_promises_and_leaves_nothing(played: Played) -> None:
    assert played.exit_code == 0, played.err
    told = json.loads(played.out)
    assert told["kept"] is True
    without, with_broker, as_lambda = told["acts"]
    assert without["failures"]["53300"] > 0
    assert without["peak_sessions"] > 90
    assert without["clients"] == 300
    assert with_broker["clients"] == 2000
    assert as_lambda["clients"] >= 200, "two generations of at least 100 environments"
    for act in (with_broker, as_lambda):
        assert act["failures"] == {}
        assert act["peak_sessions"] <= 30
    for act in told["acts"]:
        assert set(act) == {
            "name", "clients", "requests", "failures", "p50_ms", "p99_ms", "peak_sessions",
            "acknowledged", "found",
        }  # fmt: skip
        assert act["acknowledged"] == act["found"] > 0
        assert act["acknowledged"] + sum(act["failures"].values()) == act["requests"]
    html = played.report.read_text()
    assert html.count("plotly-graph-div") == 6
    assert "src=" not in html.split("</style>")[0], "it must need nothing from elsewhere"
    assert played.left_files == []
    assert played.left_processes == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_draws_its_plots_and_is_readable(
    played: Played, browser: Browser, scheme: Scheme, width: int
) -> None:
    """No error, nothing from elsewhere, no sideways scroll; sizes and contrasts are enough."""
    wrong: list[str] = []
    with opened(browser, played.report.as_uri(), scheme, width, wrong) as page:
        assert lines_drawn(page) == 6
        wrong += unreadable(page)
    assert wrong == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_interrupted_leaves_nothing(ending: signal.Signals, temporary: Path) -> None:
    process = start(["demo", "--report", str(temporary / "report.html")], temporary)
    wait_until(lambda: len(processes_using(temporary)) >= 2, "the servers to run", 60)
    process.send_signal(ending)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 128 + ending
    assert "Traceback" not in out + err
    wait_until(lambda: not processes_using(temporary), "the servers to be gone")
    assert list(temporary.iterdir()) == []


def test_up_serves_a_handler_and_leaves_nothing(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "from broker import Broker\n"
        "db = Broker.from_env()\n"
        "@db.handler\n"
        "def handler(event, context):\n"
        "    return db.run('select :n::int + 1 as m', n=event['n']).dicts()\n"
    )
    variables = tmp_path / "variables"
    up = start(["up", "--env-file", str(variables)], temporary)
    wait_until(lambda: variables.exists() and variables.read_text(), "broker up to be ready", 60)
    assert variables.stat().st_mode & 0o077 == 0
    given = dict(
        line.removeprefix("export ").split("=", 1) for line in variables.read_text().splitlines()
    )
    called = start(
        ["invoke", "app.handler", "--event", '{"n": 41}', "--times", "2", "--code", str(tmp_path)],
        temporary, **given,
    )  # fmt: skip
    out, err = called.communicate(timeout=60)
    (dsn,) = shlex.split(given["DSN"])
    measured, _ = start(["measure", dsn], temporary).communicate(timeout=60)
    assert "max_connections" in measured
    up.send_signal(signal.SIGINT)
    up_out, up_err = up.communicate(timeout=60)

    assert called.returncode == 0, err
    assert out == '[{"m": 42}]\n' * 2
    assert "invoke app.handler --code FOLDER --event '{}'" in up_err
    assert up.returncode == 0, up_err
    assert "export BROKER_HOST=127.0.0.1" in up_out
    assert not variables.exists()
    assert list(temporary.iterdir()) == []
    assert processes_using(temporary) == []


def up_with(
    variables: Path, temporary: Path, *, under: Sequence[str] = ()
) -> subprocess.Popen[str]:
    up = start(["up", "--env-file", str(variables)], temporary, under=under)
    wait_until(lambda: variables.exists() and variables.read_text(), "broker up to be ready", 60)
    return up


def test_up_whose_terminal_closes_leaves_nothing_however_often_it_hears_of_it(
    temporary: Path, tmp_path: Path
) -> None:
    variables = tmp_path / "variables"
    up = up_with(variables, temporary)

    give_up_at = time.monotonic() + 60
    while up.poll() is None and time.monotonic() < give_up_at:
        up.send_signal(signal.SIGHUP)
        time.sleep(0.001)  # so that some come while it stops the servers
    out, err = up.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert not variables.exists()
    assert processes_using(temporary) == []
    assert list(temporary.iterdir()) == []


def test_up_under_nohup_outlives_its_terminal(temporary: Path, tmp_path: Path) -> None:
    variables = tmp_path / "variables"
    up = up_with(variables, temporary, under=["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"])
    up.send_signal(signal.SIGHUP)
    up.send_signal(signal.SIGTERM)
    up.communicate(timeout=60)
    assert up.returncode == 128 + signal.SIGTERM
    assert not variables.exists()


def test_a_handler_in_a_package_is_invoked_with_its_relative_imports(
    temporary: Path, tmp_path: Path
) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "answers.py").write_text("ANSWER = 42\n")
    (tmp_path / "orders" / "handler.py").write_text(
        "from .answers import ANSWER\ndef handler(event, context):\n    return ANSWER\n"
    )
    called = start(["invoke", "orders.handler.handler", "--code", str(tmp_path)], temporary)
    out, err = called.communicate(timeout=60)
    assert (called.returncode, out) == (0, "42\n"), err


def test_a_handler_that_fails_is_said_and_exits_1(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context):\n    raise KeyError('n')\n")
    called = start(["invoke", "app.handler", "--code", str(tmp_path)], temporary)
    _, err = called.communicate(timeout=60)
    assert called.returncode == 1
    assert "KeyError" in err or "'n'" in err


@pytest.mark.parametrize(
    "command",
    [["nonsense"], ["invoke"], ["invoke", "nohandler"], ["invoke", "a.b", "--event", "{"]],
)
def test_bad_usage_is_one_message_and_exits_2(command: list[str], temporary: Path) -> None:
    process = start(command, temporary)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in err


def test_up_overwrites_no_file_and_says_so_before_it_starts(
    temporary: Path, tmp_path: Path
) -> None:
    mine = tmp_path / ".env"
    mine.write_text("MY_OWN=1\n")
    for path, said in (
        (mine, "would be overwritten: name a new file, or delete it if no `broker up` runs"),
        (tmp_path / "no" / "env", "does not exist"),
    ):
        process = start(["up", "--env-file", str(path)], temporary)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert said in " ".join(err.split())
        assert "Traceback" not in err
    assert mine.read_text() == "MY_OWN=1\n"
