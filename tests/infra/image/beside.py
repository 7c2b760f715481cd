"""The exporter's container, beside a pooler's task: the same image, and its sockets alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.pgbouncer import Hosting
from tests.infra.image.container import Container
from tests.infra.image.dockerfile import Dockerfile
from tests.infra.image.enclosed import Enclosed, Volume
from tests.lambdas import emf

COMMAND = "/usr/local/bin/pgbouncer-exporter"
NAMESPACE = "LambdaPgBroker"


class Exporter:
    """Runs while inside `with`; a short period lets a test see many of its minutes."""

    def __init__(self, task: Container, folder: Path, **environ: str) -> None:
        self._task = task
        self._out, self._errors = folder / "out", folder / "errors"
        self._environ: Mapping[str, str] = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "EXPORTER_POOLER": "stack/Broker",
            "EXPORTER_PERIOD_S": "1.2",
            "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/cd189a93-2495160603",
            **environ,
        }
        self._enclosed: Enclosed | None = None

    def __enter__(self) -> Self:
        self._enclosed = Enclosed(
            self._task.image,
            Dockerfile.read().user,
            [Volume(self._task.sockets, Hosting().sockets, may_write=False)],
            [COMMAND],
            self._environ,
            out=self._out,
            errors=self._errors,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._enclosed is not None:
            self._enclosed.close()

    @property
    def running(self) -> Enclosed:
        assert self._enclosed is not None, "the exporter is not started"
        return self._enclosed

    def stop(self) -> int:
        """Send what the container runtime would; its exit code."""
        os.kill(self.running.pid, signal.SIGINT)
        return self.running.outer.wait(30)

    def lines(self) -> list[str]:
        """Return every whole line so far, each held to CloudWatch's specification."""
        text = self._out.read_text() if self._out.exists() else ""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        for line in lines:
            emf.read(line)
        return lines

    def minutes(self) -> list[dict[str, float]]:
        """Return the metrics of each line."""
        found = []
        for line in self.lines():
            [(dimensions, figures)] = emf.figures([line], NAMESPACE).items()
            assert dimensions == ("pooler=stack/Broker",)
            found.append(figures)
        return found

    def errors(self) -> str:
        """Return what it has said."""
        return self._errors.read_text() if self._errors.exists() else ""
