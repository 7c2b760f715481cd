"""A role's new password: the role has it first, and then the poolers' tasks are replaced."""

from __future__ import annotations

import json
from typing import Any

from tests.deployment import expected
from tests.deployment.site import Site
from tests.wait import wait_until


def check(site: Site) -> None:
    """Rotate as docs/rotate.md says, in an account without a trail, and wait for the tasks."""
    before, verifier = deployment(site), password(site)
    (secret,) = named(site, "AWS::SecretsManager::Secret", "ServerSecrets")
    value = json.dumps({"username": "app", "password": "a-new-one"})
    site.emulator.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)
    call(site, "Roller", {"source": "aws.events"})
    assert deployment(site) == before, "the role has not got it yet"
    assert password(site) == verifier
    may_have_called(site, "Provisioner", "Roller")
    call(site, "Provisioner", hourly(site))
    wait_until(lambda: deployment(site) != before, "the tasks to be replaced", 60)
    assert password(site) != verifier


def deployment(site: Site) -> str:
    """Return the id of the newest deployment of the poolers' service."""
    (service,) = expected.services(site)
    return next(str(each["id"]) for each in service["deployments"] if each["status"] == "PRIMARY")


def password(site: Site) -> object:
    """Return what the server keeps of the role's password."""
    return site.postgres.admin("select rolpassword from pg_authid where rolname = 'app'")


def may_have_called(site: Site, caller: str, called: str) -> None:
    """Ask IAM, for the emulator does not when it tells of a success."""
    functions = site.emulator.client("lambda")
    who, whom = (
        functions.get_function_configuration(
            FunctionName=named(site, "AWS::Lambda::Function", f"{each}Function")[0]
        )
        for each in (caller, called)
    )
    (result,) = site.emulator.client("iam").simulate_principal_policy(
        PolicySourceArn=who["Role"],
        ActionNames=["lambda:InvokeFunction"],
        ResourceArns=[whom["FunctionArn"]],
    )["EvaluationResults"]
    assert result["EvalDecision"] == "allowed"


def named(site: Site, kind: str, part: str) -> list[str]:
    """Return the physical ids of a type's resources with this in their logical id."""
    found = site.stack.resources().items()
    return [id for logical, (each, id) in found if each == kind and part in logical]


def call(site: Site, function: str, event: dict[str, Any]) -> None:
    """Invoke the function as EventBridge does, which waits for no answer; or wait for it."""
    (name,) = named(site, "AWS::Lambda::Function", f"{function}Function")
    way = "Event" if function == "Provisioner" else "RequestResponse"
    answer = site.emulator.client("lambda").invoke(
        FunctionName=name, InvocationType=way, Payload=json.dumps(event)
    )
    assert "FunctionError" not in answer, f"{answer}\n{site.emulator.log_tail()}"


def hourly(site: Site) -> dict[str, Any]:
    """Return what the hourly rule calls the provisioner with."""
    (rule,) = named(site, "AWS::Events::Rule", "ProvisionerHourly")
    (target,) = site.emulator.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    return dict(json.loads(target["Input"]))
