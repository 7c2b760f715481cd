"""Logging in with a secret and with a token: a rotation under load costs no invocation."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer

from broker import AuthenticationFailed, Broker, ConfigurationError, SecretUnavailable
from broker.deadline import Deadline, Instant, SystemClock
from broker.iam import token
from broker.local.pgbouncer import PgBouncer
from broker.local.process import free_port
from broker.settings import Settings, Tls
from broker.sigv4 import Keys
from tests.conftest import Database
from tests.integration.extension import TOKEN, Extension
from tests.wait import wait_until

REGION = "eu-west-1"
Brokers = Callable[..., Broker]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Serve Secrets Manager on loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def environ(moto: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Point every SDK at it, and let no extension be there."""
    values = {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "key-Zyx",
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT": "9",  # discard: nobody listens
        "AWS_LAMBDA_FUNCTION_NAME": "orders",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


class Rotated:
    """A secret in Secrets Manager, for a role whose password rotates."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.client: Any = boto3.client("secretsmanager", region_name=REGION)
        self.arn: str = self.client.create_secret(
            Name=f"test/{database.name}", SecretString=self.text(database.password)
        )["ARN"]

    def text(self, password: str) -> str:
        """Return it as Secrets Manager writes it for RDS."""
        return json.dumps(
            {
                "engine": "postgres",
                "username": self.database.user,
                "password": password,
                "host": self.database.server.host,
                "port": self.database.server.port,
                "dbname": self.database.name,
            }
        )

    def set_pending(self, password: str) -> None:
        """Do the first half of a rotation: create and set."""
        self.client.put_secret_value(
            SecretId=self.arn, SecretString=self.text(password), VersionStages=["AWSPENDING"]
        )
        self.database.server.set_password(self.database.user, password)

    def rotate(self, password: str) -> None:
        """Rotate in the order of Secrets Manager's functions: create, set, finish."""
        self.set_pending(password)
        self.client.put_secret_value(SecretId=self.arn, SecretString=self.text(password))

    def settings(self, **changes: Any) -> Settings:
        given = {"tls": Tls.OFF, "fresh_s": 0.0, **changes}  # a look finds what was killed
        return Settings(secret_arn=self.arn, **given)


@pytest.fixture
def secret(database: Database, environ: dict[str, str]) -> Rotated:
    return Rotated(database)


def test_a_secret_alone_says_how_to_connect(secret: Rotated) -> None:
    with Broker(secret.settings()) as db:
        assert db.run("select current_user::text").scalar() == secret.database.user
        assert "secret" in repr(db)
        assert secret.database.password not in repr(db) + repr(db.settings)


def test_a_rotation_costs_one_more_attempt_and_no_failed_invocation(secret: Rotated) -> None:
    with Broker(secret.settings()) as db:
        db.run("select 1")
        secret.rotate("second-Zyx")
        secret.database.kill_backends()

        assert db.run("select 2").scalar() == 2
        assert db.stats().connect_retries == 1
        assert db.stats().opened == 2


def test_in_the_middle_of_a_rotation_nothing_fails_either(secret: Rotated) -> None:
    """The server knows the new password already, the secret's current version does not."""
    with Broker(secret.settings()) as db:
        db.run("select 1")
        secret.set_pending("pending-Zyx")
        secret.database.kill_backends()

        assert db.run("select 2").scalar() == 2
        assert db.stats().connect_retries == 1


def wait_until_moved_on(
    db: Broker, password: str, done: list[int], errors: list[BaseException]
) -> None:
    """Wait until no thread is in a statement that began before the new password was known.

    A rotation comes after hours: two within one attempt to connect are none of a pool's business.
    """

    def known() -> bool:
        return bool(errors) or db._credentials.login(Deadline.after(30)).password == password

    wait_until(known, "a thread to be refused, and to read the secret")
    two_more = [n + 2 for n in done]  # the first of them may have begun before
    wait_until(lambda: errors or all(map(int.__ge__, done, two_more)), "every thread to go on")


def test_rotations_under_a_pool_of_threads_fail_nothing(secret: Rotated) -> None:
    errors: list[BaseException] = []
    done = [0] * 8
    over = threading.Event()
    short_lived = secret.settings(max_sessions=len(done), lifetime_s=0.05)
    with Broker(short_lived) as db:

        def invoke(number: int) -> None:
            while not over.is_set():
                try:
                    assert db.run("select :n::int", n=number).scalar() == number
                    done[number] += 1
                except BaseException as error:
                    errors.append(error)

        threads = [threading.Thread(target=invoke, args=(n,)) for n in range(len(done))]
        for thread in threads:
            thread.start()
        try:
            for rotation in range(5):
                password = f"password-{rotation}-Zyx"
                secret.rotate(password)
                wait_until_moved_on(db, password, done, errors)
        finally:
            over.set()
            for thread in threads:
                thread.join(60)
        stats = db.stats()
    assert errors == []
    assert stats.connect_retries >= 5


def test_a_password_that_is_wrong_everywhere_fails_after_one_more_look(
    secret: Rotated, caplog: pytest.LogCaptureFixture
) -> None:
    secret.database.server.set_password(secret.database.user, "nobody knows")
    with Broker(secret.settings()) as db, pytest.raises(AuthenticationFailed) as raised:
        db.run("select 1")
    assert raised.value.sqlstate == "28P01"
    assert db.stats().connect_retries == 0
    assert secret.database.password not in str(raised.value) + caplog.text


def test_the_extension_is_asked_where_it_is_and_the_service_after_a_refusal(
    secret: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extension keeps the old password for minutes after a rotation."""
    with Extension(secret.arn, secret.text(secret.database.password)) as extension:
        for name, value in extension.environ.items():
            monkeypatch.setenv(name, value)
        with Broker(secret.settings()) as db:
            db.run("select 1")
            assert extension.asked == 1
            secret.rotate("second-Zyx")
            secret.database.kill_backends()
            assert db.run("select 2").scalar() == 2
        with Broker(secret.settings()) as fresh:  # a new environment gets the stale one first
            assert fresh.run("select 3").scalar() == 3
            assert fresh.stats().connect_retries == 1
        assert extension.asked == 2


@pytest.mark.parametrize("status", [400, 500])
def test_an_extension_that_cannot_answer_is_passed_over_with_a_word_in_the_log(
    secret: Rotated,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Extension(secret.arn, secret.text(secret.database.password)) as extension:
        extension.status = status
        for name, value in extension.environ.items():
            monkeypatch.setenv(name, value)
        with Broker(secret.settings()) as db:
            assert db.run("select 1").scalar() == 1
    assert f"status {status}" in caplog.text
    assert secret.database.password not in caplog.text


def test_no_sdk_is_loaded_where_the_extension_answers(secret: Rotated, moto: str) -> None:
    program = (
        "import sys, broker\n"
        "db = broker.Broker.from_env()\n"
        "assert 'http.client' not in sys.modules\n"
        "assert db.run('select 1').scalar() == 1\n"
        "print([m for m in ('boto3', 'botocore') if m in sys.modules])"
    )
    with Extension(secret.arn, secret.text(secret.database.password)) as extension:
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env={**extension.environ, "BROKER_SECRET_ARN": secret.arn, "BROKER_TLS": "off"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_no_sdk_is_loaded_where_the_environment_has_keys(secret: Rotated, moto: str) -> None:
    program = (
        "import sys, broker\n"
        "db = broker.Broker.from_env()\n"
        "assert db.run('select 1').scalar() == 1\n"
        "print([m for m in ('boto3', 'botocore') if m in sys.modules])"
    )
    given = {"BROKER_SECRET_ARN": secret.arn, "BROKER_TLS": "off"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def test_a_secret_that_is_not_there_is_said_at_once_and_by_name(secret: Rotated) -> None:
    missing = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:nowhere-AbCdEf"
    given = Settings(secret_arn=missing, tls=Tls.OFF)
    with Broker(given) as db, pytest.raises(ConfigurationError, match="nowhere") as raised:
        db.run("select 1")
    assert "ResourceNotFoundException" in str(raised.value)
    assert "secretsmanager:GetSecretValue" in str(raised.value)


def test_a_secrets_manager_out_of_reach_is_tried_until_the_deadline(
    secret: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    given = secret.settings(timeout_s=1.0)
    with Broker(given) as db, pytest.raises(SecretUnavailable, match=r"127\.0\.0\.1:9") as raised:
        db.run("select 1")
    assert "tried" in str(raised.value)
    assert db.stats().connect_retries > 0


KEYS = Keys("AKIDEXAMPLE", "key-Zyx", TOKEN)
MOMENT_S = 1_700_000_000.0


class StoppedWallClock(SystemClock):
    """The machine's clocks, but for the date."""

    @staticmethod
    def now() -> Instant:
        return Instant(time.monotonic(), MOMENT_S)


def test_with_iam_the_token_is_what_logs_in_over_verified_tls(
    database: Database, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer stands for RDS here, with the token that botocore would make as the password."""
    monkeypatch.setenv("AWS_REGION", REGION)
    port = free_port()
    signed = token(PgBouncer.host, port, database.user, REGION, KEYS, time.gmtime(MOMENT_S))
    database.server.set_password(database.user, signed)
    given = {"auth": "iam", "password": "", "port": port}
    databases = {database.name: database.server.conninfo(database.name)}
    config = {"databases": databases, "pgbouncer": {}}
    with PgBouncer(config, {database.user: signed}, tls=True, port=port) as pooler:
        settings = database.settings(
            pooler, **given, tls=Tls.VERIFY_FULL, tls_ca=pooler.ca_file.read_text()
        )
        with Broker(settings, clock=StoppedWallClock()) as db:
            assert db.run("select current_user::text").scalar() == database.user
        with Broker(settings) as db, pytest.raises(AuthenticationFailed, match="rds_iam") as raised:
            db.run("select 1")  # another moment's token is another password
    assert "X-Amz" not in str(raised.value)
