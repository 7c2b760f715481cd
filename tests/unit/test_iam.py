"""The token is botocore's to the letter, and is signed anew before it is too old."""

from __future__ import annotations

import datetime
import time

import botocore.auth  # type: ignore[import-untyped]
import botocore.session  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.credentials import Credentials
from broker.deadline import Deadline
from broker.errors import ConfigurationError
from broker.iam import KEPT_S, SURELY_GOOD_S, VALID_S, Iam, token
from broker.sigv4 import Keys
from tests.unit.fakes import FakeClock, settings

MOMENT = 1_700_000_000
ENVIRON = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "s3cret/+key",
    "AWS_SESSION_TOKEN": "sess/ion+token==",
    "AWS_REGION": "eu-west-1",
}
HOST_LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,10}[A-Za-z0-9])?", fullmatch=True)
NAMES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)


@pytest.fixture(scope="module")
def botocores():
    """Sign as botocore does, at MOMENT."""
    now = datetime.datetime.fromtimestamp(MOMENT, datetime.UTC)
    session = botocore.session.Session()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda **_: now)

        def sign(host, port, user, region, keys):
            client = session.create_client(
                "rds",
                region_name="us-east-1",
                aws_access_key_id=keys.access,
                aws_secret_access_key=keys.secret,
                aws_session_token=keys.session,
            )
            return client.generate_db_auth_token(host, port, user, Region=region)

        yield sign


def ours(host, port, user, region, keys):
    return token(host, port, user, region, keys, time.gmtime(MOMENT))


KEYS = Keys("AKIDEXAMPLE", "s3cret/+key", "sess/ion+token==")
DB = "db.abc123.eu-west-1.rds.amazonaws.com"


@pytest.mark.parametrize("keys", [KEYS, KEYS._replace(session=None)])
@pytest.mark.parametrize("port", [5432, 6432, 443, 80])
def test_the_token_is_the_one_that_botocore_makes(botocores, keys, port):
    signed = ours(DB, port, "app", "eu-west-1", keys)

    assert signed == botocores(DB, port, "app", "eu-west-1", keys)
    assert signed.startswith(f"{DB}:{port}/?Action=connect&DBUser=app&")
    assert f"X-Amz-Expires={VALID_S}" in signed


@pytest.fixture(scope="module")
def client_of_botocore(botocores):
    """Keep one client: making one takes longer than all the rest."""
    client = botocore.session.Session().create_client(
        "rds",
        region_name="us-east-1",
        aws_access_key_id=KEYS.access,
        aws_secret_access_key=KEYS.secret,
        aws_session_token=KEYS.session,
    )
    return lambda host, port, user, region: client.generate_db_auth_token(
        host, port, user, Region=region
    )


@example(host="Db.Example", port=5432, user="a b+c%d&e=f/g?h#i~j", region="eu-west-1")
@example(host="db.example", port=5432, user='ünï"cödé \n\t\0', region="eu-west-1")
@example(host="db.example", port=5432, user="X-Amz-Date", region="cn-north-1")
@example(host="Db.Example", port=443, user="app", region="eu-west-1")
@given(
    host=st.lists(HOST_LABELS, min_size=1, max_size=4).map(".".join),
    port=st.integers(1, 65535),
    user=NAMES.filter(bool),
    region=st.from_regex(r"[a-z]{2}(-gov)?-[a-z]{4,9}-[0-9]", fullmatch=True),
)
def test_whatever_the_names_are_the_token_is_botocores(
    client_of_botocore, host, port, user, region
):
    assert ours(host, port, user, region, KEYS) == client_of_botocore(host, port, user, region)


def credentials(clock, environ=ENVIRON):
    config = settings(password="", auth="iam", tls=settings().tls.REQUIRE)
    made = Credentials(config, clock)
    made._source = Iam(config, clock, environ)
    return made


def test_a_token_is_signed_when_it_is_wanted_and_again_before_it_is_too_old():
    clock = FakeClock()
    logins = credentials(clock)
    deadline = Deadline.after(30, clock)
    first = logins.login(deadline)
    assert first.password.startswith("db.example:5432/?Action=connect&DBUser=app&")

    clock.advance(KEPT_S - 1)
    assert logins.login(deadline) is first
    clock.advance(1)
    second = logins.login(deadline)

    assert second.password != first.password
    assert KEPT_S < VALID_S


def test_a_freeze_that_only_the_wall_clock_saw_makes_a_token_old():
    clock = FakeClock()
    logins = credentials(clock)
    first = logins.login(Deadline.after(30, clock))
    clock.freeze(KEPT_S)

    assert logins.login(Deadline.after(30, clock)).password != first.password


def test_a_refused_token_is_signed_again_once_unless_it_is_new():
    """Keys that have expired meanwhile are replaced; a new token is refused for another reason."""
    clock = FakeClock()
    logins = credentials(clock)
    deadline = Deadline.after(30, clock)
    first = logins.login(deadline)

    assert logins.renewed(first, deadline) is None
    clock.advance(SURELY_GOOD_S)
    second = logins.renewed(first, deadline)
    assert second is not None
    assert second.password != first.password
    assert logins.login(deadline) is second
    assert logins.renewed(second, deadline) is None


def test_no_region_is_said_with_an_example():
    clock = FakeClock()
    bare = {name: value for name, value in ENVIRON.items() if name != "AWS_REGION"}

    with pytest.raises(ConfigurationError, match=r"BROKER_AUTH=iam is in a region.*AWS_REGION="):
        credentials(clock, bare).login(Deadline.after(1, clock))


def test_no_keys_are_said_and_where_they_come_from(monkeypatch, tmp_path):
    for name, value in {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ENVIRON:
        monkeypatch.delenv(name, raising=False)
    clock = FakeClock()

    with pytest.raises(ConfigurationError, match=r"no AWS credentials.*function's role"):
        credentials(clock, {"AWS_REGION": "eu-west-1"}).login(Deadline.after(1, clock))


def test_neither_the_token_nor_the_keys_show():
    clock = FakeClock()
    logins = credentials(clock)
    login = logins.login(Deadline.after(1, clock))

    for shown in (repr(login), str(login), repr(logins), repr(KEYS)):
        assert "X-Amz" not in shown
        assert "s3cret" not in shown
