"""Gets one environment going: its port, its variables, its pipe, its process."""

from __future__ import annotations

import os
import time
import uuid

from broker.local.environment import Environment
from broker.local.fleet_errors import EnvironmentNotStarted, FleetError
from broker.local.launcher import How, Job, Launcher
from broker.local.logs import LogBuffer, LogPipe
from broker.local.runtime_api import RuntimeApi
from broker.local.variables import variables


class Starter:
    """Starts environments all in the same way."""

    def __init__(self, launcher: Launcher, api: RuntimeApi, how: How) -> None:
        self._launcher = launcher
        self._api = api
        self._how = how

    async def start(self, environment: Environment, logs: LogBuffer) -> None:
        """Start the process, or raise EnvironmentNotStarted; the runtime then asks for work."""
        try:
            address = await self._api.open(environment)
            read_fd, write_fd = os.pipe()
            try:
                environment.logs = LogPipe(read_fd, logs)
                pid = await self._launcher.start(self._job(environment, address), write_fd)
            finally:
                os.close(write_fd)
        except (OSError, FleetError) as error:
            raise EnvironmentNotStarted(f"{environment.id} could not start: {error}") from error
        environment.started(pid)

    def _job(self, environment: Environment, address: str) -> Job:
        function = environment.function
        log_stream = f"{time.strftime('%Y/%m/%d')}/[{function.version}]{uuid.uuid4().hex}"
        settings = variables(function, runtime_api=address, log_stream=log_stream)
        return Job(environment.id, self._how, function.handler, str(function.code), settings)
