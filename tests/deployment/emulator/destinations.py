"""Lambda: an asynchronous call that succeeds is told of to the function that the caller names.

The emulator does so for failures alone. Source: "Capturing records of Lambda asynchronous
invocations" (Lambda Developer Guide).
"""

from __future__ import annotations

import threading
from typing import Any

from ministack.services import lambda_svc

Record = dict[str, Any]
ASYNCHRONOUS = "called asynchronously"
LATEST = "$LATEST"
_call, _execute = lambda_svc.invoke_async_with_retry, lambda_svc._execute_function


def install() -> None:
    """Teach it."""
    lambda_svc.invoke_async_with_retry = _call_and_mark
    lambda_svc._execute_function = _execute_and_tell


def _call_and_mark(function: Record, event: Record) -> None:
    _call({**function, ASYNCHRONOUS: True}, event)


def _execute_and_tell(function: Record, event: Record) -> Record:
    unmarked = {key: value for key, value in function.items() if key != ASYNCHRONOUS}
    result: Record = _execute(unmarked, event)
    if ASYNCHRONOUS in function and not result.get("error"):
        given = function.get("event_invoke_configs", {}).get(LATEST, {})
        target = given.get("DestinationConfig", {}).get("OnSuccess", {}).get("Destination")
        if target:
            _tell(target, function, event, result)
    return result


def _tell(target: str, function: Record, event: Record, result: Record) -> None:
    record = {
        "version": "1.0",
        "requestContext": {
            "functionArn": f"{function['config']['FunctionArn']}:{LATEST}",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": LATEST},
        "responsePayload": result.get("body"),
    }
    told, _config, _name = lambda_svc._get_func_record_for_ref(target)
    threading.Thread(
        target=lambda_svc._execute_function_with_config_scope, args=(told, record), daemon=True
    ).start()
