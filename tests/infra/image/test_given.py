"""What the task's environment says is taken whole, or refused in one line that holds no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies
from pooler.directory import TaskError
from pooler.given import Login, read
from pooler.task import without_secrets
from pooler.userlist import render

from tests.infra.image.dockerfile import CONTEXT

SECRET = "hush-hush"
PEM = "-----BEGIN PRIVATE KEY-----\nhush-hush\n-----END PRIVATE KEY-----\n"
GOOD = {
    "PATH": "/usr/bin",
    "PGBOUNCER_INI_1": "[databases]\n[pgbouncer]\n",
    "PGBOUNCER_INI_2": "[databases]\n[pgbouncer]\n; 2\n",
    "PGBOUNCER_SERVER_SECRET_1": json.dumps({"username": "app", "password": SECRET, "port": 5432}),
    "PGBOUNCER_CLIENT_SECRET_1": json.dumps({"username": "app_client", "password": SECRET + "2"}),
    "PGBOUNCER_CERTIFICATE": json.dumps({"certificate": PEM, "key": PEM, "ca": PEM}),
}


def test_everything_is_read_in_order() -> None:
    told = read(GOOD)
    assert [text.splitlines()[-1] for text in told.inis] == ["[pgbouncer]", "; 2"]
    assert told.servers == (Login("app", SECRET),)
    assert told.clients == (Login("app_client", SECRET + "2"),)
    assert (told.certificate, told.key) == (PEM, PEM)
    assert SECRET not in repr(told.servers) + repr(told.clients)
    assert without_secrets(GOOD) == {"PATH": "/usr/bin"}


def test_ten_processes_stay_in_order() -> None:
    inis = {f"PGBOUNCER_INI_{n}": f"[pgbouncer]\n; {n}" for n in range(1, 12)}
    assert [text[-2:].strip() for text in read({**GOOD, **inis}).inis] == [
        str(n) for n in range(1, 12)
    ]


WRONG = [
    ({"PGBOUNCER_INI_1": None}, "PGBOUNCER_INI_1 is missing, though there is PGBOUNCER_INI_2"),
    ({"PGBOUNCER_INI_1": None, "PGBOUNCER_INI_2": None}, "PGBOUNCER_INI_1 is missing: give"),
    ({"PGBOUNCER_INI_2": "[databases]\n"}, "PGBOUNCER_INI_2 has no [pgbouncer]"),
    ({"PGBOUNCER_SERVER_SECRET_1": None}, "PGBOUNCER_SERVER_SECRET_1 is missing"),
    ({"PGBOUNCER_SERVER_SECRET_1": ""}, "PGBOUNCER_SERVER_SECRET_1 is missing"),
    ({"PGBOUNCER_SERVER_SECRET_1": SECRET}, "PGBOUNCER_SERVER_SECRET_1 is not JSON"),
    ({"PGBOUNCER_SERVER_SECRET_1": f'{{"{SECRET}"'}, "PGBOUNCER_SERVER_SECRET_1 is not JSON"),
    ({"PGBOUNCER_SERVER_SECRET_1": f'["{SECRET}"]'}, 'has no text "username"'),
    ({"PGBOUNCER_CLIENT_SECRET_1": f'{{"password": "{SECRET}"}}'}, 'has no text "username"'),
    ({"PGBOUNCER_CLIENT_SECRET_1": '{"username": "a", "password": 5}'}, 'has no text "password"'),
    ({"PGBOUNCER_CLIENT_SECRET_1": '{"username": "a", "password": ""}'}, 'no text "password"'),
    ({"PGBOUNCER_CLIENT_SECRET_1": f'{{"username": "a", "password": "{SECRET}\\n"}}'},
     "PGBOUNCER_CLIENT_SECRET_1: password has a line break"),
    ({"PGBOUNCER_CLIENT_SECRET_3": "{}"}, "PGBOUNCER_CLIENT_SECRET_2 is missing, though"),
    ({"PGBOUNCER_CLIENT_SECRET_1": json.dumps({"username": "app", "password": SECRET + "3"})},
     "two secrets give app different passwords"),
    ({"PGBOUNCER_CERTIFICATE": None}, "PGBOUNCER_CERTIFICATE is missing"),
    ({"PGBOUNCER_CERTIFICATE": json.dumps({"certificate": PEM})}, 'has no text "key"'),
    ({"PGBOUNCER_CERTIFICATE": json.dumps({"certificate": PEM, "key": SECRET})}, "key is no PEM"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_what_is_wrong_is_one_line_without_the_secret_and_nothing_starts(
    changes: dict[str, str | None], said: str, tmp_path: Path
) -> None:
    environ = {**GOOD, **changes, "PGBOUNCER_DIRECTORY": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-Es", str(CONTEXT / "pgbouncer-task")],
        env={name: value for name, value in environ.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith("pgbouncer-task: ")
    assert said in line
    assert SECRET not in line
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-Es", str(CONTEXT / "pgbouncer-task")],
        env={**GOOD, "PGBOUNCER_DIRECTORY": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "nowhere: No such file or directory; mount a volume there that uid" in line


@given(strategies.text())
def test_no_text_of_a_secret_ends_in_anything_but_a_task_error(text: str) -> None:
    try:
        read({**GOOD, "PGBOUNCER_SERVER_SECRET_1": text})
    except TaskError as error:
        assert "\n" not in str(error)


def test_a_name_on_both_hops_has_one_line_with_its_password() -> None:
    """Where names go through as they are, the pooler logs in at the server as the client."""
    both = [Login("web", 'pass"word')]
    assert render(both, both) == '"web" "pass""word"\n'
    with pytest.raises(TaskError, match="two secrets give web"):
        render([Login("web", "one")], [Login("web", "other")])
