"""broker.testing, as a project of its own that follows docs/testing.md uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.local import binaries
from broker.local.process import ServerError

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
CONFTEST = 'pytest_plugins = ["broker.testing"]\n'
COUNTERS = CONFTEST + (
    """
import pytest

@pytest.fixture(scope="session")
def broker_schema(broker_template):
    with broker_template.broker() as db:
        db.run("create table counter (n int)")
        db.run("insert into counter values (0)")
"""
)


class Project:
    """A folder with tests of somebody else's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pytest.ini", "[pytest]\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def pytest(self, *arguments: str) -> str:
        """Run it in a process of its own; return its code and what it said."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(
            command, check=False, cwd=self.root, capture_output=True, text=True, timeout=200
        )
        return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_project_of_the_page_passes_alone_and_with_xdist(
    project: Project, workers: str
) -> None:
    files = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    assert set(files) == {"conftest.py", "src/app.py", "test_app.py", "test_failures.py"}
    for name, text in files.items():
        project.write(name, text)
    told = project.pytest("-n", workers)
    assert "exit 0" in told
    assert "3 passed" in told


def test_each_test_has_a_fresh_copy_of_what_the_schema_made_in_either_flavour(
    project: Project,
) -> None:
    project.write("conftest.py", COUNTERS)
    project.write(
        "test_counter.py",
        """
import pytest

@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize("broker_flavour", ["pgbouncer", "direct"])
def test_it(broker_db, broker_flavour, again):
    assert broker_db.settings.flavour.value == broker_flavour
    assert broker_db.run("update counter set n = n + 1 returning n").scalar() == 1
    databases = "select count(*) from pg_database where datname like 'test_%'"
    assert broker_db.run(databases).scalar() == 2

def test_the_environment_is_that_databases(broker_environment, broker_database, broker_db):
    from broker import Broker

    with Broker.from_env() as mine:
        assert mine.settings.strict
        mine.run("update counter set n = 7")
    assert broker_db.run("select n from counter").scalar() == 7
""",
    )
    told = project.pytest()
    assert "exit 0" in told
    assert "7 passed" in told


def test_a_schema_that_is_still_connected_is_disconnected_and_the_template_stays_as_it_was(
    project: Project,
) -> None:
    keeps = "    kept.append(broker_template.broker())\n    kept[0].run('select 1')\nkept = []\n"
    project.write("conftest.py", COUNTERS + keeps)
    project.write(
        "test_counter.py",
        """
import pytest
from broker import BrokerError

def test_it(broker_db, broker_template):
    assert broker_db.run("select n from counter").scalar() == 0
    with broker_template.broker(timeout_s=1.0) as db, pytest.raises(BrokerError):
        db.run("update counter set n = 1")
""",
    )
    told = project.pytest()
    assert "exit 0" in told


def test_direct_tests_start_no_pooler(project: Project) -> None:
    project.write("conftest.py", COUNTERS)
    project.write(
        "test_direct.py",
        """
import pytest
from broker.local import pgbouncer

@pytest.fixture
def broker_flavour():
    return "direct"

def test_it(broker_db, broker_function, monkeypatch):
    monkeypatch.setattr(pgbouncer.PgBouncer, "start", None)
    assert broker_db.run("select n from counter").scalar() == 0
""",
    )
    assert "1 passed" in project.pytest()


LEAKS = """
from broker import Broker
db = Broker.from_env()
kept = []

def leave_open():
    transaction = db.transaction()
    kept.append(transaction)
    transaction.__enter__().run("select 1")

@db.handler
def decorated(event, context):
    leave_open()

def bare(event, context):
    leave_open()
"""


def test_a_function_that_leaves_a_transaction_open_fails_its_test(project: Project) -> None:
    project.write("conftest.py", COUNTERS)
    project.write("src/leaks.py", LEAKS)
    project.write(
        "test_leaks.py",
        """
import pytest

@pytest.mark.parametrize("handler", ["decorated", "bare"])
def test_it(broker_function, handler):
    broker_function(f"leaks.{handler}", code="src")({})
""",
    )
    told = project.pytest()
    assert "exit 1" in told
    assert re.search(r"LeftOpen: a transaction checked out at .*leaks.py:\d+", told)
    assert "leaks-bare-2 was frozen with a transaction open, after: select 1" in told
    assert "1 failed, 1 passed, 1 error" in told


def test_a_transaction_that_the_test_itself_leaves_open_passes(project: Project) -> None:
    project.write("conftest.py", COUNTERS)
    project.write(
        "test_open.py",
        """
kept = []

def test_it(broker_db):
    kept.append(broker_db.transaction())
    kept[0].__enter__().run("select 1")
""",
    )
    assert "1 passed" in project.pytest("-W", "error")


def test_a_folder_that_is_not_there_is_said_with_the_rootdir_and_the_remedy(
    project: Project,
) -> None:
    project.write("conftest.py", CONFTEST)
    project.write("tests/src/app.py", "def handler(event, context): return 1\n")
    project.write(
        "tests/test_folder.py",
        """
from pathlib import Path

def test_relative(broker_function):
    broker_function("app.handler", code="src")

def test_whole(broker_function):
    assert broker_function("app.handler", code=Path(__file__).with_name("src"))() == 1

def test_from_the_rootdir(broker_function):
    assert broker_function("app.handler", code="tests/src")() == 1
""",
    )
    told = project.pytest()
    assert "1 failed, 2 passed" in told
    assert f"UsageError: code='src': there is no folder {project.root / 'src'}." in told
    assert f"rootdir, {project.root}: give its path from there, or a whole one" in told
    assert "code=Path(__file__).with_name('src')" in told


def test_where_there_is_no_pgbouncer_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project of somebody else's has no Makefile."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerError, match="`apt-get install pgbouncer`") as raised:
        binaries.pgbouncer()
    assert "`brew install pgbouncer`" in str(raised.value)
    assert "`make setup`" in str(raised.value)


def test_nothing_of_it_is_loaded_for_who_does_not_ask(project: Project) -> None:
    project.write(
        "test_plain.py",
        """
import sys

def test_it(request):
    assert "broker" not in sys.modules
    assert not request.config.pluginmanager.hasplugin("broker.testing")
""",
    )
    assert "1 passed" in project.pytest()


def test_what_it_ran_is_gone_with_it(project: Project) -> None:
    project.write("conftest.py", COUNTERS)
    project.write(
        "test_pids.py",
        """
from pathlib import Path

def test_it(broker_server, broker_function):
    pids = [broker_server.postgres.pid, broker_server.pgbouncer.pid]
    Path("pids").write_text(" ".join(map(str, pids)))
""",
    )
    assert "1 passed" in project.pytest()
    pids = (project.root / "pids").read_text().split()
    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
