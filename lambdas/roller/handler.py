"""A secret has changed: the pooler's tasks are replaced, a few at a time.

ECS reads secrets when a task starts, and never again. Environment: CLUSTER and SERVICE name the
one service; ROLE_SECRET_ARNS its secrets with passwords of the server's roles, and SECRET_ARNS its
others, separated by blanks.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from .changed import changed_secret, reason_to_roll, roles_given_at
from .service import Service, changes

log = logging.getLogger("roller")
log.setLevel(logging.INFO)

NOTHING = {"deployment": ""}


def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001
    """Roll the service if one of its secrets has changed since its tasks were deployed.

    It looks when a secret's event says so, by a schedule, and after each of the provisioner's
    successes, which may tell that the roles have their passwords.
    """
    of_roles, others = (os.environ[name].split() for name in ("ROLE_SECRET_ARNS", "SECRET_ARNS"))
    if event.get("source") == "aws.secretsmanager" and changed_secret(event, others) is None:
        return NOTHING
    import boto3  # type: ignore[import-untyped]  # the runtime's

    session = boto3.session.Session()
    service = Service(session.client("ecs"), os.environ["CLUSTER"], os.environ["SERVICE"])
    secrets = session.client("secretsmanager")
    started, given_at = service.deployed_at(), roles_given_at(event)
    arn = reason_to_roll(started, changes(secrets, of_roles), changes(secrets, others), given_at)
    if arn is None:
        return NOTHING
    deployment = service.roll()
    log.info("%s has changed: deployment %s", arn, deployment)
    return {"deployment": deployment}
