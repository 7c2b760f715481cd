"""The pooler's one service in ECS; `ecs` and `secrets_manager` are boto3's clients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

PRIMARY = "PRIMARY"  # the deployment that tasks are started for


class Service:
    """Replaces its tasks, and knows when those were last replaced."""

    def __init__(self, ecs: Any, cluster: str, name: str) -> None:
        self._ecs = ecs
        self._cluster = cluster
        self._name = name

    def roll(self) -> str:
        """Start a deployment of the same task definition, and return its id."""
        service = self._ecs.update_service(
            cluster=self._cluster, service=self._name, forceNewDeployment=True
        )["service"]
        return str(_primary(service)["id"])

    def deployed_at(self) -> datetime:
        """Return when the newest deployment began."""
        services = self._ecs.describe_services(cluster=self._cluster, services=[self._name])
        at: datetime = _primary(services["services"][0])["createdAt"]
        return at


def changes(secrets_manager: Any, arns: Sequence[str]) -> dict[str, datetime]:
    """Return when each secret was last changed."""
    return {arn: secrets_manager.describe_secret(SecretId=arn)["LastChangedDate"] for arn in arns}


def _primary(service: Any) -> Any:
    return next(d for d in service["deployments"] if d["status"] == PRIMARY)
