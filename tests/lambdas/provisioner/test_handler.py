"""CloudFormation always gets its answer: from the real handler, on loopback's CloudFormation."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from broker.local.pgbouncer import PgBouncer
from lambdas.provisioner import handler as module
from lambdas.provisioner.answer import ATTEMPTS, Answer, send
from lambdas.provisioner.bounded import bounded
from lambdas.provisioner.certificates import new_authority
from lambdas.provisioner.handler import handler
from lambdas.provisioner.refusal import Refused
from lambdas.provisioner.request import FAILED_CREATE, Request
from lambdas.provisioner.resources import MARGIN_S
from tests.lambdas.provisioner.conftest import MASTER, PASSWORD, Rds

STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/orders-broker/1b2c"
SIGNATURE = "X-Amz-Signature=0815"
Fresh = Callable[[str], str]


class CloudFormation:
    """Takes answers as its S3 bucket does, and sends requests."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.failures = 0
        here = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                failing, here.failures = here.failures > 0, here.failures - 1
                if not failing:
                    assert len(body) <= 4096, "CloudFormation takes no more"
                    here.answers.append(json.loads(body))
                    here.headers.append(dict(self.headers))
                self.send_response(503 if failing else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/bucket/key?{SIGNATURE}"

    def event(self, kind: str, of: str, properties: Any, **more: Any) -> dict[str, Any]:
        return {
            "RequestType": kind,
            "ResourceType": of,
            "ResponseURL": self.url,
            "StackId": STACK,
            "RequestId": "request-1",
            "LogicalResourceId": "Roles",
            "ResourceProperties": properties,
            **more,
        }

    def ask(self, kind: str, of: str, properties: Any, left_s: float = 60.0, **more: Any) -> Any:
        """Invoke the handler, and return the one answer that came."""
        before = len(self.answers)
        handler(self.event(kind, of, properties, **more), context(left_s))
        (answer,) = self.answers[before:]
        return answer

    def __enter__(self) -> CloudFormation:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def context(left_s: float) -> Any:
    return SimpleNamespace(
        get_remaining_time_in_millis=lambda: left_s * 1000,
        log_stream_name="2026/01/01/[1]abc",
        aws_request_id="r",
    )


@pytest.fixture(scope="module")
def cloudformation() -> Iterator[CloudFormation]:
    with CloudFormation() as served:
        yield served


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def vault(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of Secrets Manager, where the handler finds it, too."""
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    return boto3.client("secretsmanager")


@pytest.fixture
def asked(rds: Rds, vault: Any, fresh: Fresh) -> dict[str, Any]:
    """Return the properties of a role app_n with a database of its own."""
    name = fresh("app")

    def secret(user: str, password: str) -> str:
        text = json.dumps({"username": user, "password": password})
        return str(vault.create_secret(Name=fresh(user), SecretString=text)["ARN"])

    role = {"name": name, "kind": "app", "database": name, "secret_arn": secret(name, "pw-0815")}
    properties = rds.properties(role, databases=["postgres", name])
    return {**properties, "AdminSecretArn": secret(MASTER, PASSWORD)}


ROLES = "Custom::BrokerRoles"


def test_create_update_and_delete_answer_success_under_one_id(
    cloudformation: CloudFormation, rds: Rds, asked: dict[str, Any]
) -> None:
    (role,) = json.loads(asked["Roles"])
    made = cloudformation.ask("Create", ROLES, asked)
    assert made == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": "orders-broker-Roles",
        "StackId": STACK,
        "RequestId": "request-1",
        "LogicalResourceId": "Roles",
        "NoEcho": False,
        "Data": {},
    }
    assert cloudformation.headers[-1].get("Content-Type", "") == "", "S3's signature has none"
    with rds.log_in(role["name"], "pw-0815", role["name"]) as db:
        db.run("create table kept as select 1 as id")

    moved = {**asked, "Host": "localhost"}
    known = {"PhysicalResourceId": made["PhysicalResourceId"]}
    updated = cloudformation.ask("Update", ROLES, moved, OldResourceProperties=asked, **known)
    assert updated["Status"] == "SUCCESS"
    assert updated["PhysicalResourceId"] == made["PhysicalResourceId"]

    assert cloudformation.ask("Delete", ROLES, asked, **known)["Status"] == "SUCCESS"
    assert rds.server.admin("select id from kept", database=role["name"]) == [[1]]


def rotate(vault: Any, role: dict[str, Any], password: str) -> None:
    """Give the role's secret a new value."""
    value = json.dumps({"username": role["name"], "password": password})
    vault.put_secret_value(SecretId=role["secret_arn"], SecretString=value)


def test_a_new_password_in_a_secret_becomes_the_roles_without_cloudformation(
    cloudformation: CloudFormation, rds: Rds, asked: dict[str, Any], vault: Any
) -> None:
    """EventBridge sends it when the secret changes, and every hour."""
    (role,) = json.loads(asked["Roles"])
    name = role["name"]
    cloudformation.ask("Create", ROLES, asked)
    rotate(vault, role, "new-0816")

    before = datetime.now(UTC)
    told = handler({"Roles": asked}, context(60))
    assert (told["roles"], told["refused"]) == (name, "")
    assert before <= datetime.fromisoformat(told["as_of"]) <= datetime.now(UTC)
    with rds.log_in(name, "new-0816", name) as db:
        assert db.run("select 1").scalar() == 1
    assert handler({"Roles": asked}, context(60))["roles"] == name
    with pytest.raises(Refused, match="Port"):  # an error of the function's, for its alarm
        handler({"Roles": {**asked, "Port": "many"}}, context(60))


def test_a_grant_that_is_refused_hides_no_password_that_was_given(
    cloudformation: CloudFormation, rds: Rds, asked: dict[str, Any], vault: Any
) -> None:
    """The tasks need to follow: they hold the old one, which the server takes no more."""
    (role,) = json.loads(asked["Roles"])
    name = role["name"]
    cloudformation.ask("Create", ROLES, asked)
    owner = f"{name}_owner"
    rds.server.create_role(owner, "x")
    for sql in (
        f"alter database {name} owner to {owner}",
        f"revoke connect on database {name} from public",
        f"revoke connect on database {name} from {name}",
        f"grant connect on database {name} to {MASTER}",
    ):
        rds.server.admin(sql)
    rotate(vault, role, "new-0817")

    told = handler({"Roles": asked}, context(60))
    assert told["refused"].startswith(f"grant connect on {name}")
    assert "as_of" in told
    with rds.log_in(name, "new-0817", "postgres") as db:
        assert db.run("select 1").scalar() == 1


def test_a_bad_template_fails_with_one_line_and_can_be_rolled_back(
    cloudformation: CloudFormation, asked: dict[str, Any]
) -> None:
    bad = {**asked, "Port": "many"}
    answer = cloudformation.ask("Create", ROLES, bad)
    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("Custom::BrokerRoles: Port='many' must be a number")
    assert answer["PhysicalResourceId"].endswith(FAILED_CREATE)

    undone = {"PhysicalResourceId": answer["PhysicalResourceId"]}
    assert cloudformation.ask("Delete", ROLES, bad, **undone)["Status"] == "SUCCESS"
    failed = cloudformation.ask("Update", ROLES, bad, PhysicalResourceId="id")
    assert (failed["Status"], failed["PhysicalResourceId"]) == ("FAILED", "id")
    assert cloudformation.ask("Delete", ROLES, bad, PhysicalResourceId="id")["Status"] == "FAILED"


@pytest.mark.parametrize("properties", [None, [], "x"])
def test_no_properties_fail_with_one_line(
    cloudformation: CloudFormation, vault: Any, properties: Any
) -> None:
    for of in (ROLES, "Custom::BrokerCertificate"):
        answer = cloudformation.ask("Create", of, properties)
        assert answer["Status"] == "FAILED"
        assert answer["Reason"].startswith(of)


def test_another_type_of_resource_is_refused(cloudformation: CloudFormation, vault: Any) -> None:
    answer = cloudformation.ask("Create", "Custom::Other", {})

    assert answer["Status"] == "FAILED"
    assert "none of Create, Update, Delete of Custom::BrokerRoles" in answer["Reason"]


def test_a_wrong_administrators_password_is_said_and_shown_nowhere(
    cloudformation: CloudFormation,
    asked: dict[str, Any],
    vault: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = json.dumps({"username": MASTER, "password": "wrong-0815"})
    vault.put_secret_value(SecretId=asked["AdminSecretArn"], SecretString=wrong)

    answer = cloudformation.ask("Create", ROLES, asked)

    assert answer["Status"] == "FAILED"
    assert "password authentication failed" in answer["Reason"]
    for shown in (json.dumps(answer), caplog.text):
        assert "0815" not in shown


def test_a_database_that_says_nothing_is_a_failure_in_time(
    cloudformation: CloudFormation, asked: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = {**asked, "Host": "127.0.0.1", "Port": str(mute.getsockname()[1])}
        answer = cloudformation.ask("Create", ROLES, silent, left_s=9.0)
    assert answer["Status"] == "FAILED"
    assert "did not answer in time" in answer["Reason"]


def test_a_secret_that_may_not_be_read_is_named(
    cloudformation: CloudFormation, asked: dict[str, Any]
) -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:nowhere-AbCdEf"
    roles = [{**json.loads(asked["Roles"])[0], "secret_arn": arn}]
    answer = cloudformation.ask("Create", ROLES, {**asked, "Roles": json.dumps(roles)})
    assert answer["Status"] == "FAILED"
    assert "can't find the specified secret" in answer["Reason"]


def test_tls_is_verified_against_the_certificate_that_is_given(
    cloudformation: CloudFormation, rds: Rds, asked: dict[str, Any]
) -> None:
    """PgBouncer stands for RDS here: the local PostgreSQL has no TLS."""
    (role,) = json.loads(asked["Roles"])
    role["database"] = "postgres"
    config = {"databases": {"postgres": rds.server.conninfo("postgres")}, "pgbouncer": {}}
    with PgBouncer(config, {MASTER: PASSWORD}, tls=True) as rds_with_tls:
        given = {
            **asked,
            "Port": str(rds_with_tls.port),
            "Databases": ["postgres"],
            "Roles": json.dumps([role]),
        }
        other = new_authority("other", datetime.now(UTC)).certificate
        for ca, status in ((rds_with_tls.ca_file.read_text(), "SUCCESS"), (other, "FAILED")):
            answer = cloudformation.ask("Create", ROLES, {**given, "TlsCa": ca})
            assert answer["Status"] == status
    assert "certificate verify failed" in answer["Reason"]


@pytest.mark.parametrize("ca", ["none", "/opt/ca.pem"])
def test_tls_cannot_be_left_unverified_by_a_slip(
    cloudformation: CloudFormation, asked: dict[str, Any], ca: str
) -> None:
    answer = cloudformation.ask("Create", ROLES, {**asked, "TlsCa": ca})

    assert answer["Status"] == "FAILED"
    assert "must be rds, or a certificate in PEM" in answer["Reason"]


def test_a_certificate_gives_the_authority_and_is_renewed_on_a_schedule(
    cloudformation: CloudFormation, vault: Any, fresh: Fresh
) -> None:
    arns = [vault.create_secret(Name=fresh(name))["ARN"] for name in ("server", "ca")]
    properties = {
        "SecretArn": arns[0],
        "CaSecretArn": arns[1],
        "Names": ["nlb.elb.eu-west-1.amazonaws.com"],
        "RenewDays": "30",
    }
    answer = cloudformation.ask("Create", "Custom::BrokerCertificate", properties)
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["CaPem"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in json.dumps(answer)

    assert handler({"Renew": properties}, context(60)) == {"renewed": ""}
    renamed = {**properties, "Names": ["other.example"]}
    assert handler({"Renew": renamed}, context(60)) == {"renewed": "it is for other names"}
    with pytest.raises(Refused, match="Names"):  # an error of the function's, for its alarm
        handler({"Renew": {**properties, "Names": []}}, context(60))
    deleted = cloudformation.ask("Delete", "Custom::BrokerCertificate", {})
    assert deleted["Status"] == "SUCCESS"


def test_work_that_hangs_is_a_failure_before_the_functions_time_is_over() -> None:
    over = threading.Event()

    def hang() -> Answer:
        over.wait(60)
        return Answer()

    answer = bounded(hang, 0.1, "the-stream")
    over.set()

    assert answer.failed
    assert "not finished within 0 s" in answer.reason
    assert "the-stream" in answer.reason


def test_a_fault_of_our_own_is_answered_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fault() -> Answer:
        raise ValueError("hunter" + str(2))

    answer = bounded(fault, 10, "the-stream")

    assert "unexpected ValueError" in answer.reason
    assert "hunter2" not in answer.reason + caplog.text
    assert "in fault" in caplog.text, "the log says where"


def test_an_answer_that_is_not_taken_is_sent_again(
    cloudformation: CloudFormation, caplog: pytest.LogCaptureFixture
) -> None:
    request = Request.read(cloudformation.event("Create", ROLES, {}))
    pauses: list[float] = []
    cloudformation.failures = ATTEMPTS - 1
    before = len(cloudformation.answers)
    send(request, Answer(), pauses.append)
    assert len(cloudformation.answers) == before + 1
    assert pauses == [0.2, 0.4, 0.8]

    cloudformation.failures = ATTEMPTS
    with pytest.raises(OSError, match=r"127\.0\.0\.1 did not take the answer: 503"):
        send(request, Answer(), pauses.append)
    assert SIGNATURE not in caplog.text + repr(request)


def test_the_longest_reason_still_fits_in_the_answer(cloudformation: CloudFormation) -> None:
    request = Request.read(cloudformation.event("Create", ROLES, {}))

    for text in ("ü€" * 9000, "\1" * 9000, '"' * 9000, "\U0001f40d" * 9000):
        assert len(Answer(text).body(request)) <= 4096
    assert "\n" not in json.loads(Answer("a\nb").body(request))["Reason"]


def test_the_margins_leave_time_for_the_answer() -> None:
    """The database's deadline comes before the answer's."""
    assert MARGIN_S > module.ANSWER_S


def test_an_answer_tells_as_of_when_passwords_were_given_if_they_were(
    cloudformation: CloudFormation, asked: dict[str, Any]
) -> None:
    def told(kind: str, of: str, properties: Any) -> dict[str, str]:
        return handler(cloudformation.event(kind, of, properties), context(60))

    for kind in ("Create", "Update"):
        assert set(told(kind, ROLES, asked)) == {"status", "as_of"}
    assert told("Create", ROLES, {**asked, "Port": "many"}) == {"status": "failed"}
    assert told("Delete", ROLES, asked) == {"status": "done"}
    assert told("Delete", "Custom::BrokerCertificate", {}) == {"status": "done"}
