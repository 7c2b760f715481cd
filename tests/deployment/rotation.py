"""A role's new password: the role has it first, and then the poolers' tasks are replaced."""

from __future__ import annotations

import json

from tests.deployment import expected
from tests.deployment.site import Site
from tests.wait import wait_until


def check(site: Site) -> None:
    """Rotate as docs/rotate.md says, in an account without a trail, and wait for the tasks."""
    before, verifier = deployment(site), password(site)
    provisioner, roller = (
        site.stack.named("Lambda::Function", f"{each}Function")
        for each in ("Provisioner", "Roller")
    )
    value = json.dumps({"username": "app", "password": "a-new-one"})
    secret = site.stack.named("SecretsManager::Secret", "ServerSecrets")
    site.emulator.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=value)
    assert site.stack.call(roller) == {"deployment": ""}, "the role has not got it yet"
    assert (deployment(site), password(site)) == (before, verifier)
    may_have_called(site, provisioner, roller)
    site.emulator.client("lambda").invoke(  # as EventBridge does, which waits for no answer
        FunctionName=provisioner, InvocationType="Event", Payload=hourly(site)
    )
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
        functions.get_function_configuration(FunctionName=each) for each in (caller, called)
    )
    (result,) = site.emulator.client("iam").simulate_principal_policy(
        PolicySourceArn=who["Role"],
        ActionNames=["lambda:InvokeFunction"],
        ResourceArns=[whom["FunctionArn"]],
    )["EvaluationResults"]
    assert result["EvalDecision"] == "allowed"


def hourly(site: Site) -> str:
    """Return what the hourly rule calls the provisioner with."""
    rule = site.stack.named("Events::Rule", "ProvisionerHourly")
    (target,) = site.emulator.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    return str(target["Input"])
