"""A secret that has changed reaches the tasks: the one service is deployed anew, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto import mock_aws

from lambdas.roller.changed import changed_secret, roles_given_at, secret_changed
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


def test_a_change_before_the_tasks_started_is_one_that_they_have_read():
    started = NOW + timedelta(seconds=1, milliseconds=400)

    later = {"a": NOW, "b": NOW + timedelta(seconds=1)}
    now = NOW + timedelta(seconds=1)
    assert secret_changed(started, later, now) == "b"
    assert secret_changed(started + timedelta(seconds=1), later, now) is None
    assert secret_changed(started, later, now - timedelta(microseconds=1)) is None, "too late"


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
        monkeypatch.setenv("ROLE_SECRET_ARNS", made.role_arn)
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
    account: Account, rolled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """EventBridge hears of Secrets Manager's calls only where CloudTrail has a trail."""
    assert handler(SCHEDULED, SimpleNamespace())["deployment"]  # made after the service
    assert len(rolled) == 1


def test_tasks_wait_for_a_password_until_the_role_has_it(
    account: Account, rolled: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_ARNS", "")
    told = event("PutSecretValue", requestParameters={"secretId": account.role_arn})
    changed_at = account.secrets.describe_secret(SecretId=account.role_arn)["LastChangedDate"]
    before, after = (changed_at + timedelta(seconds=n) for n in (-1, 1))

    for early in (told, SCHEDULED, success({"as_of": before.isoformat()}), success({})):
        assert handler(early, SimpleNamespace()) == {"deployment": ""}
    assert rolled == []
    assert handler(success({"as_of": after.isoformat()}), SimpleNamespace())["deployment"]
    assert len(rolled) == 1
