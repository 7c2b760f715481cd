"""The environment variables of an execution environment: Lambda's own and the function's."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping

from broker.local.function import Function

REGION = "us-east-1"
ACCOUNT = "000000000000"

PASSED_ON = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
"""All that is taken from the developer's environment: no credentials, no BROKER_ variable."""


def base_variables(ambient: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Give the variables that are the same in every environment, and in the zygote."""
    return {
        **{name: ambient[name] for name in PASSED_ON if name in ambient},
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": REGION,
        "HOME": tempfile.gettempdir(),  # the developer's own holds ~/.aws
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }


def variables(function: Function, *, runtime_api: str, log_stream: str) -> dict[str, str]:
    """Give every variable of one environment; `runtime_api` is its own host:port."""
    return {
        **base_variables(),
        **function.environment,
        "_HANDLER": function.handler,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "LAMBDA_TASK_ROOT": str(function.code),
    }


def function_arn(function: Function) -> str:
    """Give the ARN that the handler's context reports."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}"
