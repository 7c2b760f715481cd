"""Lambda's Runtime API on loopback, one port for each environment.

Lambda's developer guide, "Using the Lambda runtime API". awslambdaric has two clients: the C++
one would take a path in AWS_LAMBDA_RUNTIME_API, but the Python one, which reports errors of
initialisation, takes host:port only; so what tells environments apart is the port.
"""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from types import MappingProxyType

from aiohttp import web

from broker.local.environment import Environment, OutOfTurn
from broker.local.variables import function_arn

LOOPBACK = "127.0.0.1"
PREFIX = "/2018-06-01/runtime/"
KEEPALIVE_S = 3_600.0  # longer than any handler runs between two calls
BACKLOG = 4  # one client, which opens one connection, and another to report a failed start

_ACCEPTED = MappingProxyType({"status": "OK"})


class RuntimeApi:
    """Serves any number of environments from one loop."""

    def __init__(self) -> None:
        self._by_port: dict[int, Environment] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._web = web.Server(
            self._handle,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            handler_cancellation=True,
        )

    async def open(self, environment: Environment) -> str:
        """Listen for one environment; give its host:port."""
        listener = socket.create_server((LOOPBACK, 0), backlog=BACKLOG)
        port: int = listener.getsockname()[1]
        self._by_port[port] = environment
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._web, sock=listener)
        self._servers[environment.id] = server
        return f"{LOOPBACK}:{port}"

    def close(self, environment: Environment) -> None:
        """Stop listening for one environment."""
        server = self._servers.pop(environment.id, None)
        if server is None:
            return
        for listener in server.sockets:
            del self._by_port[listener.getsockname()[1]]
        server.close()

    async def close_all(self) -> None:
        """Stop listening for all, and drop the connections: nobody waits for an open request."""
        for environment in tuple(self._by_port.values()):
            self.close(environment)
        for connection in self._web.connections:
            connection.force_close()
        await asyncio.sleep(0)  # each learns of its end, which cancels its request
        await self._web.shutdown()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None or not request.path.startswith(PREFIX):
            return _refusal(HTTPStatus.NOT_FOUND, "NotFound", request.path)
        environment = self._by_port.get(transport.get_extra_info("sockname")[1])
        if environment is None:
            return _refusal(HTTPStatus.GONE, "Gone", "this environment was ended")
        call = request.path.removeprefix(PREFIX).split("/")
        try:
            return await _answer(environment, request, call)
        except OutOfTurn as error:
            return _refusal(HTTPStatus.BAD_REQUEST, "InvalidRequestID", str(error))


async def _answer(
    environment: Environment, request: web.BaseRequest, call: list[str]
) -> web.StreamResponse:
    match request.method, call:
        case "GET", ["invocation", "next"]:
            return await _next(environment)
        case "POST", ["invocation", request_id, "response"]:
            body = await request.content.read()
            environment.answer(request_id, body, request.headers.get("Content-Type", ""))
        case "POST", ["invocation", request_id, "error"]:
            environment.fail(request_id, await request.content.read())
        case "POST", ["init", "error"]:
            environment.fail_init(await request.content.read())
        case _:
            return _refusal(HTTPStatus.NOT_FOUND, "NotFound", request.path)
    return web.json_response(dict(_ACCEPTED), status=HTTPStatus.ACCEPTED)


async def _next(environment: Environment) -> web.Response:
    invocation = await environment.next()
    headers = {
        "Lambda-Runtime-Aws-Request-Id": invocation.id,
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": function_arn(environment.function),
        "Lambda-Runtime-Trace-Id": f"Root=1-{invocation.id.replace('-', '')};Sampled=0",
    }
    return web.Response(body=invocation.event, content_type="application/json", headers=headers)


def _refusal(status: HTTPStatus, error_type: str, message: str) -> web.Response:
    return web.json_response({"errorType": error_type, "errorMessage": message}, status=status)
