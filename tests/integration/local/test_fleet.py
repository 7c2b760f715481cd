"""The local fleet treats real `awslambdaric` processes as Lambda does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from broker.local.fleet import (
    EnvironmentState,
    Fleet,
    Function,
    Invocation,
    InvocationStatus,
    Limits,
)
from broker.local.fleet_errors import FleetClosed, UnknownEnvironment, UnknownFunction, ZygoteFailed
from broker.local.invocation import FunctionError
from tests.wait import wait_until

BUSY = EnvironmentState.BUSY
FUNCTIONS = Path(__file__).with_name("functions")


def function(**changes: Any) -> Function:
    described: dict[str, Any] = {
        "name": "behave",
        "handler": "behaviours.handler",
        "code": FUNCTIONS,
        "timeout_s": 60,
    }
    return Function(**(described | changes))


@pytest.fixture
def fleet():
    with Fleet() as fleet:
        fleet.deploy(function())
        yield fleet


def ps(column: str, pid: int) -> str:
    command = ["ps", "-o", f"{column}=", "-p", str(pid)]
    shown = subprocess.run(command, check=False, capture_output=True, text=True)
    return shown.stdout.strip()


def process_state(pid: int) -> str:
    """Give ps's letter for a process: T stopped, Z a zombie, nothing when it is gone."""
    return ps("stat", pid)[:1]


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def is_gone(pid: int | None) -> bool:
    if pid is None:
        return False
    return process_state(pid) in ("", "Z")  # a zombie whose parent was killed waits for init


def error_of(invocation: Invocation) -> FunctionError:
    assert invocation.error is not None, invocation
    return invocation.error


def only(fleet: Fleet, name: str = "behave"):
    (environment,) = fleet.environments(name)
    return environment


def beats(path: Path) -> int:
    """Count what the handler's thread has written: nothing, until it first got a turn."""
    return path.stat().st_size if path.exists() else 0


def busy(fleet: Fleet, count: int, path: Path) -> list[Future[Invocation]]:
    """Have that many requests in flight until `path` exists."""
    futures = [fleet.submit("behave", {"do": "wait_for", "path": str(path)}) for _ in range(count)]
    wait_until(
        lambda: [one.state for one in fleet.environments("behave")].count(BUSY) >= count,
        f"{count} busy environments",
    )
    return futures


# Requests


def test_the_handler_gets_the_event_and_the_context_that_lambda_gives(fleet):
    invocation = fleet.invoke("behave", {"do": "context_of"})
    told = invocation.result()

    assert told["request_id"] == invocation.request_id
    assert told["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:behave"
    assert (told["name"], told["memory"]) == ("behave", "128")
    assert 0 < told["left_ms"] <= 60_000
    assert told["directory"] == str(FUNCTIONS)
    assert told["environment"]["LAMBDA_TASK_ROOT"] == str(FUNCTIONS)
    assert told["environment"]["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/behave"


@pytest.mark.parametrize("start", ["zygote", "exec"])
def test_no_variable_of_ours_reaches_the_handler(monkeypatch, start):
    """Neither credentials nor BROKER_ settings of the developer leak into a function."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("BROKER_HOST", "production")
    with Fleet(start) as fleet:
        fleet.deploy(function(environment={"COLOUR": "red"}))
        told = fleet.invoke("behave", {"do": "context_of"}).result()["environment"]

    assert told["COLOUR"] == "red"
    assert not {"AWS_SECRET_ACCESS_KEY", "BROKER_HOST", "USER", "HOSTNAME"} & told.keys()
    assert told["HOME"] != os.environ.get("HOME", "/root")


def test_one_environment_serves_all_that_come_one_after_another(fleet):
    told = [fleet.invoke("behave", {"do": "whoami"}) for _ in range(20)]

    assert [one.result()["served"] for one in told] == list(range(1, 21))
    assert [one.cold for one in told] == [True] + [False] * 19
    assert only(fleet).served == 20


def test_an_environment_serves_one_request_at_a_time(fleet, tmp_path):
    """A handler that meets another in its own process fails: none does, under any load."""
    event = {"do": "overlap", "path": str(tmp_path), "hold_s": 0.002}
    slots = threading.Semaphore(12)
    futures = []
    for _ in range(400):
        slots.acquire()
        future = fleet.submit("behave", event)
        future.add_done_callback(lambda _: slots.release())
        futures.append(future)
    served = Counter(future.result().result() for future in futures)

    assert served == {one.pid: one.served for one in fleet.environments("behave")}
    assert len(served) <= 12


def test_a_request_gets_a_new_environment_only_when_all_are_busy(fleet, tmp_path):
    go = tmp_path / "go"
    futures = busy(fleet, 5, go)
    go.touch()

    assert len({future.result().result() for future in futures}) == 5
    assert not fleet.invoke("behave", {"do": "whoami"}).cold
    assert len(fleet.environments("behave")) == 5


def test_the_environment_used_last_is_used_first(fleet, tmp_path):
    """So that the others grow idle, as on Lambda."""
    go = tmp_path / "go"
    futures = busy(fleet, 4, go)
    go.touch()
    for future in futures:
        future.result()
    used = {fleet.invoke("behave", {"do": "whoami"}).environment for _ in range(5)}

    assert len(used) == 1


def test_a_large_event_and_a_large_answer_pass_whole(fleet):
    text = "é" * 1_000_000

    assert fleet.invoke("behave", {"do": "give", "length": 3_000_000}).result() == "x" * 3_000_000
    assert fleet.invoke("behave", {"do": "say", "lines": 1, "text": text}).ok
    assert fleet.invoke("behave", {"do": "whoami"}).result()["served"] == 3


def test_two_hundred_environments_run_at_once(fleet, tmp_path):
    go = tmp_path / "go"
    futures = busy(fleet, 200, go)
    go.touch()

    assert len({future.result().result() for future in futures}) == 200
    assert {one.state for one in fleet.environments("behave")} == {EnvironmentState.FROZEN}


@pytest.mark.parametrize("freeze", [True, False])
def test_a_cold_start_runs_a_new_interpreter_in_exec_mode(freeze):
    with Fleet("exec", freeze) as fleet:
        fleet.deploy(function())
        first, second = (fleet.invoke("behave", {"do": "whoami"}) for _ in range(2))

    assert (first.cold, second.cold) == (True, False)
    assert first.init_ms > 0
    assert second.result()["served"] == 2


# Throttling


def test_requests_above_the_reserved_concurrency_are_throttled_at_once(fleet, tmp_path):
    fleet.deploy(function(reserved_concurrency=3))
    go = tmp_path / "go"
    futures = busy(fleet, 3, go)
    refused = [fleet.invoke("behave", {"do": "whoami"}) for _ in range(5)]
    go.touch()

    assert {one.status for one in refused} == {InvocationStatus.THROTTLED}
    assert error_of(refused[0]).error_type == "TooManyRequestsException"
    assert "3 in flight, 3 allowed" in error_of(refused[0]).message
    assert all(future.result().ok for future in futures)
    assert len(fleet.environments("behave")) == 3
    assert fleet.invoke("behave", {"do": "whoami"}).ok


def test_the_reservation_spans_all_versions(fleet, tmp_path):
    fleet.deploy(function(reserved_concurrency=2))
    go = tmp_path / "go"
    futures = busy(fleet, 2, go)
    fleet.deploy(function(reserved_concurrency=2, version="2"))
    refused = fleet.invoke("behave", {"do": "whoami"})
    go.touch()

    assert refused.status is InvocationStatus.THROTTLED
    assert all(future.result().ok for future in futures)


# Freezing


def test_an_idle_environment_is_stopped_and_its_threads_stand_still(fleet, tmp_path):
    path = tmp_path / "beats"
    fleet.invoke("behave", {"do": "beat", "path": str(path)}).result()
    pid = only(fleet).pid

    assert only(fleet).state is EnvironmentState.FROZEN
    wait_until(lambda: process_state(pid) == "T", f"process {pid} to be stopped")
    before = beats(path)
    time.sleep(0.2)
    assert beats(path) == before


def test_the_next_request_thaws_it(fleet, tmp_path):
    path = tmp_path / "beats"
    fleet.invoke("behave", {"do": "beat", "path": str(path)}).result()
    wait_until(lambda: process_state(only(fleet).pid) == "T", "the process to be stopped")
    before = beats(path)
    go = tmp_path / "go"
    (future,) = busy(fleet, 1, go)
    wait_until(lambda: beats(path) > before, "the thread to go on")
    go.touch()

    assert future.result().result() == only(fleet).pid


def test_a_fleet_that_does_not_freeze_leaves_environments_running(tmp_path):
    path = tmp_path / "beats"
    with Fleet(freeze=False) as fleet:
        fleet.deploy(function())
        fleet.invoke("behave", {"do": "beat", "path": str(path)}).result()
        before = beats(path)
        wait_until(lambda: beats(path) > before + 3, "the thread to go on")

        assert only(fleet).state is EnvironmentState.IDLE


def test_a_held_environment_gets_no_request_until_it_is_thawed(fleet):
    first = fleet.invoke("behave", {"do": "whoami"}).environment
    fleet.freeze(first)
    other = fleet.invoke("behave", {"do": "whoami"}).environment
    fleet.freeze(other)
    fleet.thaw(first)

    assert other != first
    assert fleet.invoke("behave", {"do": "whoami"}).environment == first
    held = {one.id: one.held for one in fleet.environments("behave")}
    assert held == {first: False, other: True}


def test_freeze_for_keeps_what_is_idle_out_of_use(fleet):
    first = fleet.invoke("behave", {"do": "whoami"}).environment
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(fleet.freeze_for("behave", 0.5)))
    thread.start()
    wait_until(lambda: only(fleet).held, "the environment to be held")
    assert fleet.invoke("behave", {"do": "whoami"}).environment != first
    thread.join()

    assert seen == [first]
    assert fleet.invoke("behave", {"do": "whoami"}).environment == first


def test_a_request_can_be_frozen_in_its_middle_and_goes_on(fleet, tmp_path):
    go = tmp_path / "go"
    (future,) = busy(fleet, 1, go)
    fleet.freeze(only(fleet).id)
    wait_until(lambda: process_state(only(fleet).pid) == "T", "the process to be stopped")
    go.touch()
    assert not future.done()
    fleet.thaw(only(fleet).id)

    assert future.result().ok


# Ends


def test_a_request_over_its_timeout_is_killed(fleet, tmp_path):
    fleet.deploy(function(timeout_s=0.3))
    future = fleet.submit("behave", {"do": "wait_for", "path": str(tmp_path / "never")})
    pid = wait_until(lambda: only(fleet).pid, "the process to start")
    late = future.result()

    assert late.status is InvocationStatus.TIMEOUT
    assert error_of(late).error_type == "Sandbox.Timedout"
    assert error_of(late).message.endswith("Task timed out after 0.30 seconds")
    assert is_gone(pid)
    assert fleet.environments("behave") == []
    assert fleet.invoke("behave", {"do": "whoami"}).cold


def test_a_process_that_exits_in_a_request_is_a_crash(fleet):
    crashed = fleet.invoke("behave", {"do": "leave", "status": 3})

    assert crashed.status is InvocationStatus.CRASHED
    assert error_of(crashed).error_type == "Runtime.ExitError"
    assert error_of(crashed).message.endswith("Runtime exited with error: exit status 3")
    assert fleet.environments("behave") == []
    assert fleet.invoke("behave", {"do": "whoami"}).ok


def test_an_exception_is_the_answer_and_the_environment_lives(fleet):
    failed = fleet.invoke("behave", {"do": "fail", "message": "boom"})

    assert failed.status is InvocationStatus.ERROR
    assert (error_of(failed).error_type, error_of(failed).message) == ("ValueError", "boom")
    assert "behaviours.py" in error_of(failed).stack_trace[-1]
    assert only(fleet).served == 1


@pytest.mark.parametrize("start", ["zygote", "exec"])
def test_a_handler_that_cannot_be_imported_is_reported_once_for_each_request(start):
    with Fleet(start) as fleet:
        fleet.deploy(function(handler="broken.handler"))
        failed = fleet.invoke("behave", {})
        log = fleet.logs("behave")

        assert fleet.environments("behave") == []
    assert failed.status is InvocationStatus.ERROR
    assert (error_of(failed).error_type, error_of(failed).message) == (
        "LookupError",
        "no such table",
    )
    assert len([line for line in log if "LookupError: no such table" in line]) == 1


def test_an_initialisation_that_never_ends_is_killed():
    with Fleet(limits=Limits(init_timeout_s=0.3)) as fleet:
        fleet.deploy(function(handler="stuck.handler"))
        late = fleet.invoke("behave", {})

    assert late.status is InvocationStatus.TIMEOUT
    assert "Init timed out after 0.30 seconds" in error_of(late).message


@pytest.mark.parametrize("frozen", [True, False])
def test_an_environment_can_be_killed_busy_or_frozen(fleet, tmp_path, frozen):
    (future,) = busy(fleet, 1, tmp_path / ("go" if frozen else "never"))
    (tmp_path / "go").touch()
    if frozen:
        assert future.result().ok
    victim = only(fleet)
    fleet.kill(victim.id)

    assert is_gone(victim.pid)
    assert fleet.environments("behave") == []
    if not frozen:
        assert error_of(future.result()).message.endswith("signal: killed")
    with pytest.raises(UnknownEnvironment, match=victim.id):
        fleet.thaw(victim.id)


def test_an_environment_that_somebody_else_killed_is_not_used_again(fleet):
    fleet.invoke("behave", {"do": "whoami"}).result()
    os.kill(only(fleet).pid, signal.SIGKILL)
    wait_until(lambda: fleet.environments("behave") == [], "the fleet to notice")

    assert fleet.invoke("behave", {"do": "whoami"}).ok


def test_a_request_that_a_dead_environment_never_got_goes_to_another(fleet):
    """The zygote is kept from telling us of the death, so that we place a request there."""
    pid = fleet.invoke("behave", {"do": "whoami"}).result()["pid"]
    zygote = int(ps("ppid", pid))
    os.kill(zygote, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_gone(pid), f"process {pid} to be gone")
        for _ in range(50):  # rounds of the loop, which sees the connection close
            assert only(fleet).pid == pid
        future = fleet.submit("behave", {"do": "whoami"})
        assert only(fleet).state is BUSY
    finally:
        os.kill(zygote, signal.SIGCONT)

    assert future.result().result()["pid"] != pid
    assert future.result().cold


def test_idle_environments_are_reaped_and_busy_ones_are_not(fleet, tmp_path):
    idle = fleet.invoke("behave", {"do": "whoami"}).environment
    fleet.freeze(idle)
    go = tmp_path / "go"
    (future,) = busy(fleet, 1, go)
    assert fleet.shutdown_idle(idle_for_s=3_600) == []
    assert fleet.shutdown_idle() == [idle]
    go.touch()

    assert future.result().ok


def test_what_a_handler_started_is_frozen_and_ends_with_its_environment(fleet):
    pid = fleet.invoke("behave", {"do": "spawn"}).result()
    wait_until(lambda: process_state(pid) == "T", f"the handler's own process {pid} to be stopped")
    fleet.shutdown_idle()

    wait_until(lambda: is_gone(pid), f"the handler's own process {pid} to be gone")


def test_what_a_handler_started_does_not_outlive_its_crash(fleet, tmp_path):
    path = tmp_path / "pid"
    assert fleet.invoke("behave", {"do": "spawn_and_leave", "path": str(path)}).status == "crashed"
    pid = int(path.read_text())

    wait_until(lambda: is_gone(pid), f"the handler's own process {pid} to be gone")


# Deployments


def test_a_rolling_deploy_holds_two_generations(fleet, tmp_path):
    """The old one takes no more requests, keeps what it has, and stays until it is retired."""
    fleet.invoke("behave", {"do": "whoami"})
    go = tmp_path / "go"
    (running,) = busy(fleet, 1, go)
    fleet.deploy(function(version="2"))
    new = fleet.invoke("behave", {"do": "whoami"})
    go.touch()

    assert running.result().ok
    assert new.cold
    assert new.result()["version"] == "2"
    assert [one.version for one in fleet.environments("behave")] == ["1", "2"]
    old = fleet.environments("behave")[0]
    assert old.state is EnvironmentState.FROZEN
    assert fleet.retire_old() == [old.id]
    assert [one.id for one in fleet.environments("behave")] == [new.environment]


def test_an_old_environment_that_is_busy_is_retired_when_it_has_finished(fleet, tmp_path):
    go = tmp_path / "go"
    (running,) = busy(fleet, 1, go)
    fleet.deploy(function(version="2"))
    assert fleet.retire_old() == []
    go.touch()

    assert running.result().ok
    wait_until(lambda: fleet.environments("behave") == [], "the old environment to end")


def test_deploying_the_same_function_again_changes_nothing(fleet):
    first = fleet.invoke("behave", {"do": "whoami"})
    fleet.deploy(function())

    assert fleet.invoke("behave", {"do": "whoami"}).environment == first.environment


def test_an_older_version_deployed_again_gets_new_environments(fleet):
    first = fleet.invoke("behave", {"do": "whoami"})
    fleet.deploy(function(version="2"))
    fleet.deploy(function())

    assert fleet.invoke("behave", {"do": "whoami"}).environment != first.environment


def test_a_function_that_is_not_deployed_is_refused_with_the_nearest_name(fleet):
    with pytest.raises(UnknownFunction, match="'behave' is"):
        fleet.invoke("behaves", {})


# Logs


def test_logs_are_there_when_the_invocation_is_over(fleet):
    for number in range(20):
        fleet.invoke("behave", {"do": "say", "lines": 1, "text": f"call {number}"}).result()

        assert fleet.logs("behave")[-2:] == [f"0 call {number}", "and to stderr"]


def test_a_handler_that_logs_more_than_a_pipe_holds_is_not_blocked():
    seen: list[tuple[str, str]] = []
    with Fleet(limits=Limits(log_lines=10), on_log=lambda *line: seen.append(line)) as fleet:
        fleet.deploy(function())
        fleet.invoke("behave", {"do": "say", "lines": 20_000, "text": "x" * 20}).result()

        assert fleet.logs("behave")[-2:] == ["19999 " + "x" * 20, "and to stderr"]
        assert len(fleet.logs("behave")) == 10
    assert [line for _, line in seen[:20_000]] == [f"{n} {'x' * 20}" for n in range(20_000)]


# The end of it all


def test_nothing_is_left_after_close(tmp_path):
    threads = threading.active_count()
    with Fleet() as fleet:
        fleet.deploy(function())
        running = busy(fleet, 2, tmp_path / "never")
        told = fleet.invoke("behave", {"do": "context_of"}).result()["environment"]
        pids = [one.pid for one in fleet.environments("behave")]
        descriptors = open_descriptors()
    address, port = told["AWS_LAMBDA_RUNTIME_API"].split(":")

    assert all(is_gone(pid) for pid in pids)
    assert threading.active_count() == threads
    assert open_descriptors() < descriptors - 3 * len(pids)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, int(port)))
    for future in running:
        with pytest.raises(FleetClosed):
            future.result(timeout=30)
    for use in (fleet.invoke, fleet.environments, fleet.logs):
        with pytest.raises(FleetClosed):
            use("behave")
    fleet.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_fleets_own_process_is_ended(tmp_path, number):
    """Busy and frozen environments alike end with it, whatever ends it."""
    pids_file = tmp_path / "pids"
    script = subprocess.Popen(
        [sys.executable, str(FUNCTIONS / "orphaned.py"), str(pids_file)],
        stderr=subprocess.DEVNULL,
    )
    with script:
        try:
            wait_until(
                lambda: pids_file.exists() and pids_file.read_text().endswith("\n"),
                "the script to name its processes",
            )
            pids = [int(pid) for pid in pids_file.read_text().split()]
            assert len(pids) == 3
            script.send_signal(number)
            script.wait(60)
        finally:
            script.kill()
    wait_until(lambda: all(is_gone(pid) for pid in pids), f"all of {pids} to be gone")


def test_a_zygote_that_cannot_import_says_what_it_could_not():
    with pytest.raises(ZygoteFailed, match="No module named 'no_such_module'"):
        Fleet(preload=("no_such_module",))
