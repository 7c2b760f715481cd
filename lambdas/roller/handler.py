"""A secret has changed: the pooler's tasks are replaced, a few at a time.

ECS reads secrets when a task starts, and never again. Environment: CLUSTER and SERVICE name the
one service, SECRET_ARNS its secrets, separated by blanks.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .changed import changed_secret, secret_changed_since
from .service import Service, changes

log = logging.getLogger("roller")
log.setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001
    """Roll the service if the event is about a secret of its, or a scheduled look finds one."""
    import boto3  # type: ignore[import-untyped]  # the runtime's

    arns = os.environ["SECRET_ARNS"].split()
    session = boto3.session.Session()
    service = Service(session.client("ecs"), os.environ["CLUSTER"], os.environ["SERVICE"])
    if event.get("source") == "aws.secretsmanager":
        arn = changed_secret(event, arns)
    else:
        told = changes(session.client("secretsmanager"), arns)
        arn = secret_changed_since(service.deployed_at(), told, datetime.now(UTC))
    if arn is None:
        return {"deployment": ""}
    deployment = service.roll()
    log.info("%s has changed: deployment %s", arn, deployment)
    return {"deployment": deployment}
