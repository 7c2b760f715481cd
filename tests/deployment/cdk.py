"""The real CDK CLI, run against the emulator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.emulated import ROOT, Emulator

NODE = Path(sys.executable).with_name("node")
CLI = ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk"
BOUND_S = 240.0  # for one command: a deployment takes 30 s on two cores
TAIL = 60


@dataclass(frozen=True)
class Ran:
    """One command's end."""

    what: str
    code: int
    output: str

    def ok(self) -> Ran:
        """Return it, or fail with the end of what it said."""
        assert self.code == 0, f"{self.what} ended with {self.code}:\n{self.tail()}"
        return self

    def failed(self) -> Ran:
        """Return it, or fail because it succeeded."""
        assert self.code != 0, f"{self.what} did not fail:\n{self.tail()}"
        return self

    def tail(self) -> str:
        """Return the end of what it said."""
        return "\n".join(self.output.splitlines()[-TAIL:])


class Cdk:
    """The CLI with a home of its own: it knows no other run's account. `name` tells runs apart."""

    def __init__(self, name: str, emulator: Emulator, home: Path) -> None:
        self._name, self._home = name, home
        self._environment = {
            **emulator.environment(),
            "PATH": os.pathsep.join((str(NODE.parent), "/usr/bin", "/bin")),
            "HOME": str(home),
            "CDK_HOME": str(home / "cdk"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "JSII_RUNTIME_PACKAGE_CACHE": "disabled",
            "JSII_NODE": str(NODE),
            "NO_COLOR": "1",
        }

    def bootstrap(self, account: str, region: str) -> Ran:
        """Bootstrap the account; away from cdk.json, whose app it would synthesize first."""
        return self._run("bootstrap", f"aws://{account}/{region}", cwd=self._home)

    def __call__(self, *arguments: str, context: Mapping[str, str] | None = None) -> Ran:
        """Run one command with the repository's cdk.json, and this context over its own."""
        words = [word for item in (context or {}).items() for word in ("-c", "=".join(item))]
        return self._run(*arguments, *words, cwd=ROOT)

    def _run(self, *arguments: str, cwd: Path) -> Ran:
        """Run one command to its end, or to the bound, and say how long it took."""
        began = time.monotonic()
        child = subprocess.Popen(
            [str(NODE), str(CLI), *arguments, "--no-notices", "--ci"],
            cwd=cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = child.communicate(timeout=BOUND_S)
        finally:
            if child.poll() is None:  # the CLI runs the app as a child of its own
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        what = f"cdk {arguments[0]}"
        end = "done" if child.returncode == 0 else f"ended with {child.returncode}"
        say(f"{self._name}: {what}: {end} in {time.monotonic() - began:.1f} s")
        return Ran(what, child.returncode, output)


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"  {line}\n")
    sys.stderr.flush()
