"""A secret that has changed reaches the tasks: the one service is deployed anew, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto import mock_aws

from lambdas.roller.changed import changed_secret, reason_to_roll, roles_given_at
from lambdas.roller.handler import handler

REGION = "eu-west-1"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders/app-AbCdEf"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(name: str, **detail: Any) -> dict[str, Any]:
    """Return what EventBridge makes of CloudTrail's record."""
    return {"source": "aws.secretsmanager", "detail": {"eventName": name, **detail}}


def put(**parameters: Any) -> dict[str, Any]:
    return event("PutSecretValue", requestParameters={"secretId": ARN, **parameters})


@pytest.mark.parametrize(
    "told",
    [
        put(),
        put(secretId="orders/app"),
        put(versionStages=["AWSCURRENT"]),
        event("UpdateSecret", requestParameters={"secretId": ARN}),
        event("UpdateSecret", responseElements={"aRN": ARN}),
        event("RotationSucceeded", additionalEventData={"SecretId": ARN}),
        event(
            "UpdateSecretVersionStage",
            requestParameters={"secretId": ARN, "versionStage": "AWSCURRENT"},
        ),
    ],
)
def test_a_new_current_version_is_a_change(told):
    assert changed_secret(told, ["other", ARN]) == ARN


@pytest.mark.parametrize(
    "told",
    [
        put(versionStages=["AWSPENDING"]),
        put(secretId="orders/other"),
        put(secretId=ARN.replace("app", "other")),
        event("PutSecretValue", errorCode="AccessDenied", requestParameters={"secretId": ARN}),
        event("RotationStarted", additionalEventData={"SecretId": ARN}),
        event("RotationFailed", additionalEventData={"SecretId": ARN}),
        event("GetSecretValue", requestParameters={"secretId": ARN}),
        event(
            "UpdateSecretVersionStage",
            requestParameters={"secretId": ARN, "versionStage": "AWSPREVIOUS"},
        ),
        event("PutSecretValue", requestParameters=None),
        {},
        {"detail": None},
        {"detail": "text"},
    ],
)
def test_nothing_else_is(told):
    assert changed_secret(told, [ARN]) is None


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("of_roles", "others", "given_at", "why"),
    [
        ({"role": at(0)}, {"client": at(0)}, None, None),  # the tasks have read those
        ({}, {"client": at(0), "certificate": at(1)}, None, "certificate"),  # the same second
        ({"role": at(0)}, {"client": at(2)}, None, "client"),
        ({"role": at(2)}, {}, at(3), "role"),
        ({"role": at(2)}, {}, at(2), "role"),
        ({"role": at(2)}, {}, None, None),
        ({"role": at(2)}, {"client": at(2)}, None, None),  # waits, and goes with the role's
        ({"role": at(2)}, {"client": at(2)}, at(3), "role"),
        ({"role": at(2), "other": at(4)}, {}, at(3), None),  # the other role has not got it yet
        ({"role": at(2)}, {}, at(1.9), None),
    ],
)
def test_a_change_since_the_tasks_started_rolls_them_once_the_roles_have_it(
    of_roles: dict[str, datetime],
    others: dict[str, datetime],
    given_at: datetime | None,
    why: str | None,
) -> None:
    assert reason_to_roll(at(1.4), of_roles, others, given_at) == why


def success(answer: Any) -> dict[str, Any]:
    """Return Lambda's record of an asynchronous call of the provisioner that succeeded."""
    return {"version": "1.0", "requestContext": {"condition": "Success"}, "responsePayload": answer}


@pytest.mark.parametrize("answer", [{"status": "done"}, {"renewed": ""}, None, "text", {}])
def test_the_provisioner_may_have_done_something_else(answer: Any) -> None:
    assert roles_given_at(success(answer)) is None
    assert roles_given_at(success({"as_of": NOW.isoformat()})) == NOW


class Account:
    """A cluster with two services, and their secrets."""

    def __init__(self) -> None:
        self.ecs = boto3.client("ecs", region_name=REGION)
        self.secrets = boto3.client("secretsmanager", region_name=REGION)
        self.ecs.create_cluster(clusterName="broker")
        self.ecs.register_task_definition(
            family="pooler", containerDefinitions=[{"name": "p", "image": "p", "memory": 64}]
        )
        for name in ("pooler", "other"):
            self.ecs.create_service(
                cluster="broker", serviceName=name, taskDefinition="pooler", desiredCount=2
            )
        self.arn = self.secrets.create_secret(Name="orders/client", SecretString="1")["ARN"]
        self.role_arn = self.secrets.create_secret(Name="orders/app", SecretString="1")["ARN"]

    def deployment(self, name: str) -> Any:
        """Return what tells deployments apart in moto, which keeps their number at one."""
        (service,) = self.ecs.describe_services(cluster="broker", services=[name])["services"]
        return service["deployments"][0]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        made = Account()
        monkeypatch.setenv("CLUSTER", "broker")
        monkeypatch.setenv("SERVICE", "pooler")
        monkeypatch.setenv("SECRET_ARNS", made.arn)
        monkeypatch.setenv("ROLE_SECRET_ARNS", "")
        yield made


@pytest.fixture
def rolled(account: Account) -> Iterator[list[dict[str, Any]]]:
    """Return the updates that ECS was asked for."""
    asked: list[dict[str, Any]] = []
    session = boto3.session.Session
    with pytest.MonkeyPatch.context() as patch:

        class Watching(session):  # type: ignore[misc, valid-type]
            def client(self, *args: Any, **options: Any) -> Any:
                made = super().client(*args, **options)
                made.meta.events.register(
                    "provide-client-params.ecs.UpdateService",
                    lambda params, **_: asked.append(dict(params)),
                )
                return made

        patch.setattr(boto3.session, "Session", Watching)
        yield asked


def test_the_event_rolls_the_one_service(account: Account, rolled: list[dict[str, Any]]) -> None:
    told = event("PutSecretValue", requestParameters={"secretId": account.arn})

    answer = handler(told, SimpleNamespace())

    assert rolled == [{"cluster": "broker", "service": "pooler", "forceNewDeployment": True}]
    assert answer == {"deployment": account.deployment("pooler")["id"]}


def test_an_event_about_another_secret_rolls_nothing(
    account: Account, rolled: list[dict[str, Any]]
) -> None:
    told = event("PutSecretValue", requestParameters={"secretId": "somebody/elses"})

    assert handler(told, SimpleNamespace()) == {"deployment": ""}
    assert rolled == []


SCHEDULED = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


def test_a_scheduled_look_rolls_what_no_event_told_of(
    account: Account, rolled: list[dict[str, Any]]
) -> None:
    """EventBridge hears of Secrets Manager's calls only where CloudTrail has a trail."""
    assert handler(SCHEDULED, SimpleNamespace())["deployment"]  # made after the service
    assert len(rolled) == 1


def test_tasks_wait_for_a_password_until_the_role_has_it(
    account: Account, rolled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else has changed waits with it."""
    monkeypatch.setenv("ROLE_SECRET_ARNS", account.role_arn)
    changed_at = account.secrets.describe_secret(SecretId=account.role_arn)["LastChangedDate"]
    before, after = (changed_at + timedelta(seconds=n) for n in (-1, 1))
    of_role, of_client = (
        event("PutSecretValue", requestParameters={"secretId": arn})
        for arn in (account.role_arn, account.arn)
    )
    too_early = success({"as_of": before.isoformat()})

    for early in (of_role, of_client, SCHEDULED, too_early, success({"renewed": "expiry"})):
        assert handler(early, SimpleNamespace()) == {"deployment": ""}
    assert rolled == []
    assert handler(success({"as_of": after.isoformat()}), SimpleNamespace())["deployment"]
    assert len(rolled) == 1
