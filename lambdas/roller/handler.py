"""A secret has changed: the pooler's tasks are replaced, a few at a time.

ECS reads secrets when a task starts, and never again. Environment: CLUSTER and SERVICE name the
one service; ROLE_SECRET_ARNS its secrets with passwords of the server's roles, and SECRET_ARNS its
others, separated by blanks.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .changed import changed_secret, roles_given_at, secret_changed
from .service import Service, changes

log = logging.getLogger("roller")
log.setLevel(logging.INFO)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001
    """Roll the service if the event is about a secret of its, or a look finds one.

    It looks by a schedule, and after the provisioner: then at the roles', if those were given.
    """
    import boto3  # type: ignore[import-untyped]  # the runtime's

    session = boto3.session.Session()
    service = Service(session.client("ecs"), os.environ["CLUSTER"], os.environ["SERVICE"])
    if event.get("source") == "aws.secretsmanager":
        arn = changed_secret(event, os.environ["SECRET_ARNS"].split())
    else:
        given_at = roles_given_at(event)
        arns = os.environ["ROLE_SECRET_ARNS" if given_at else "SECRET_ARNS"].split()
        told = changes(session.client("secretsmanager"), arns)
        arn = secret_changed(service.deployed_at(), told, given_at or datetime.now(UTC))
    if arn is None:
        return {"deployment": ""}
    deployment = service.roll()
    log.info("%s has changed: deployment %s", arn, deployment)
    return {"deployment": deployment}
