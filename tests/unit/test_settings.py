"""Settings are read once, and what cannot be right is refused with what to write instead."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker import settings as module
from broker.errors import ConfigurationError
from broker.settings import Flavour, GuardMode, Settings, Tls, WhenUnreachable, variable
from tests.unit import fakes

NAMES = [field.name for field in dataclasses.fields(Settings)]
SECONDS = [name for name in NAMES if name.endswith("_s")]
COMPLETE = {
    "BROKER_HOST": "db.example",
    "BROKER_DATABASE": "appdb",
    "BROKER_USER": "app",
    "BROKER_PASSWORD": "hunter2-Zyx",
}


def read(**variables: str) -> Settings:
    return Settings.from_env({**COMPLETE, **variables})


def refusal(**variables: str) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(**variables)
    assert "hunter2-Zyx" not in str(raised.value)
    return str(raised.value)


def test_the_four_that_are_required_are_enough():
    settings = Settings.from_env(COMPLETE)

    assert (settings.host, settings.database, settings.user) == ("db.example", "appdb", "app")
    assert (settings.port, settings.flavour, settings.tls) == (
        5432,
        Flavour.PGBOUNCER,
        Tls.VERIFY_FULL,
    )
    assert settings.max_sessions == 1


def test_every_setting_is_read_from_its_own_variable():
    given_ = {
        **COMPLETE,
        "BROKER_PORT": "6432",
        "BROKER_FLAVOUR": "direct",
        "BROKER_CAP": "80",
        "BROKER_CAP_TABLE": "leases",
        "BROKER_CAP_NAME": "orders",
        "BROKER_CAP_LEASE_S": "900",
        "BROKER_CAP_WHEN_UNREACHABLE": "open",
        "BROKER_TLS": "verify-full",
        "BROKER_TLS_CA": "/opt/ca.pem",
        "BROKER_MAX_SESSIONS": "3",
        "BROKER_TIMEOUT_S": "12.5",
        "BROKER_CONNECT_TIMEOUT_S": "2",
        "BROKER_MARGIN_S": "0",
        "BROKER_MAX_RESULT_MB": "32",
        "BROKER_FRESH_S": "0",
        "BROKER_IDLE_TIMEOUT_S": "100",
        "BROKER_LIFETIME_S": "300",
        "BROKER_PROBE_S": "50",
        "BROKER_GUARD": "warn",
        "BROKER_STRICT": "1",
        "BROKER_APPLICATION_NAME": "orders",
        "BROKER_METRICS_NAMESPACE": "Shop",
    }
    other_ways = {"BROKER_SECRET_ARN", "BROKER_AUTH"}
    assert set(given_) | other_ways == {variable(name) for name in NAMES}

    settings = Settings.from_env(given_)

    assert {variable(name): getattr(settings, name) for name in NAMES} == {
        **given_,
        "BROKER_SECRET_ARN": None,
        "BROKER_AUTH": None,
        "BROKER_PORT": 6432,
        "BROKER_CAP": 80,
        "BROKER_CAP_LEASE_S": 900.0,
        "BROKER_CAP_WHEN_UNREACHABLE": WhenUnreachable.OPEN,
        "BROKER_FLAVOUR": Flavour.DIRECT,
        "BROKER_TLS": Tls.VERIFY_FULL,
        "BROKER_MAX_SESSIONS": 3,
        "BROKER_TIMEOUT_S": 12.5,
        "BROKER_CONNECT_TIMEOUT_S": 2.0,
        "BROKER_MARGIN_S": 0.0,
        "BROKER_MAX_RESULT_MB": 32.0,
        "BROKER_FRESH_S": 0.0,
        "BROKER_IDLE_TIMEOUT_S": 100.0,
        "BROKER_LIFETIME_S": 300.0,
        "BROKER_PROBE_S": 50.0,
        "BROKER_GUARD": GuardMode.WARN,
        "BROKER_STRICT": True,
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_an_example_that_works(name):
    together = ["flavour", "cap", "cap_table"] if name in ("cap", "cap_table") else [name]
    written = dict(module.example(one).split("=", 1) for one in together)
    if len(together) > 1:
        written["BROKER_FLAVOUR"] = "direct"  # the only one that has a cap of its own
    if name in ("secret_arn", "auth"):
        written["BROKER_PASSWORD"] = ""  # which they stand for

    assert getattr(read(**written), name) is not None


def test_a_cap_needs_its_table_and_sessions_that_no_pooler_limits():
    assert "belong together" in refusal(BROKER_FLAVOUR="direct", BROKER_CAP="80")
    assert "belong together" in refusal(BROKER_FLAVOUR="direct", BROKER_CAP_TABLE="leases")
    assert "BROKER_FLAVOUR=direct" in refusal(BROKER_CAP="80", BROKER_CAP_TABLE="leases")


def test_the_process_environment_is_what_is_read_by_default(monkeypatch):
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)

    assert Settings.from_env().host == "db.example"


@pytest.mark.parametrize("missing", sorted(COMPLETE))
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_setting_is_named_with_an_example(missing, value):
    environ = {**COMPLETE, missing: value}
    if value is None:
        del environ[missing]

    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(environ)

    assert str(raised.value).startswith(f"{missing} missing")
    assert f"{missing}=" in str(raised.value)


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env({})

    assert all(name in str(raised.value) for name in COMPLETE)


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("BROKER_MAX_SESION", "BROKER_MAX_SESSIONS"),
        ("BROKER_TIMEOUT", "BROKER_TIMEOUT_S"),
        ("BROKER_FLAVOR", "BROKER_FLAVOUR"),
        ("BROKER_PASSWD", "BROKER_PASSWORD"),
        ("BROKER_IDLE_TIMEOUT", "BROKER_IDLE_TIMEOUT_S"),
    ],
)
def test_a_misspelt_setting_is_an_error_that_names_the_nearest(misspelt, meant):
    said = refusal(**{misspelt: "hunter2-Zyx"})

    assert misspelt in said
    assert f"did you mean {meant}?" in said


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", max_size=20))
def test_no_unknown_variable_of_ours_is_passed_over(rest):
    name = f"BROKER_{rest}"
    if name.removeprefix("BROKER_").lower() in NAMES:
        return

    said = refusal(**{name: "1"})

    assert name in said
    assert difflib.get_close_matches(name, said.replace("?", " ").split(), n=1, cutoff=0.0)


ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders/app-AbCdEf"


@pytest.mark.parametrize(
    "ways",
    [
        {"BROKER_SECRET_ARN": ARN},
        {"BROKER_AUTH": "iam"},
        {"BROKER_PASSWORD": "", "BROKER_SECRET_ARN": ARN, "BROKER_AUTH": "iam"},
    ],
)
def test_two_ways_to_log_in_contradict_each_other_and_both_are_named(ways):
    said = refusal(**ways)

    assert "keep one" in said
    named = {name for name, value in {"BROKER_PASSWORD": "x", **ways}.items() if value}
    assert all(name in said for name in named)


def test_a_missing_password_may_be_a_secret_or_iam_instead():
    assert "BROKER_SECRET_ARN or BROKER_AUTH=iam" in refusal(BROKER_PASSWORD="")
    assert read(BROKER_PASSWORD="", BROKER_AUTH="iam").auth == "iam"
    assert read(BROKER_PASSWORD="", BROKER_SECRET_ARN=ARN).secret_arn == ARN


def test_a_secret_alone_is_enough_and_is_not_read():
    settings = Settings.from_env({"BROKER_SECRET_ARN": ARN})

    assert (settings.host, settings.user, settings.database) == ("", "", "")


@pytest.mark.parametrize("port", ["5432", "6432"])
def test_a_port_and_its_host_come_from_the_same_place(port):
    with pytest.raises(ConfigurationError, match="BROKER_PORT is given without BROKER_HOST"):
        Settings.from_env({"BROKER_SECRET_ARN": ARN, "BROKER_PORT": port})


def test_iam_says_who_and_where_itself():
    said = refusal(BROKER_PASSWORD="", BROKER_AUTH="iam", BROKER_USER="", BROKER_HOST="")

    assert said.startswith("BROKER_HOST and BROKER_USER missing")


def test_a_token_is_never_sent_in_plaintext():
    said = refusal(BROKER_PASSWORD="", BROKER_AUTH="iam", BROKER_TLS="off")

    assert "BROKER_AUTH=iam" in said
    assert "needs TLS" in said


def test_a_way_to_log_in_that_is_none_is_refused_with_the_one_there_is():
    assert "BROKER_AUTH='ldap': must be iam" in refusal(BROKER_PASSWORD="", BROKER_AUTH="ldap")


def test_variables_of_others_are_none_of_our_business():
    assert (
        read(PATH="/bin", MY_BROKER_HOST="x", BROKERAGE="y", broker_host="z").host == "db.example"
    )


@pytest.mark.parametrize("text", ["0", "65536", "-1"])
def test_a_port_that_cannot_be_is_refused(text):
    assert f"BROKER_PORT={text}: a port is between 1 and 65535" in refusal(BROKER_PORT=text)


@pytest.mark.parametrize("name", ["BROKER_PORT", "BROKER_MAX_SESSIONS"])
@pytest.mark.parametrize("text", ["many", "1.5", "1e3", "0x10", "nan", "inf", "1,000", "1 0"])
def test_what_is_no_whole_number_is_refused_with_an_example(name, text):
    said = refusal(**{name: text})

    assert f"{name}={text!r}: expected a whole number, for example {name}=" in said


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("text", ["soon", "5s", "1,5", "0x10", "--1", "1 2", "five"])
def test_what_is_no_number_of_seconds_is_refused_with_an_example(name, text):
    said = refusal(**{variable(name): text})

    assert f"{variable(name)}={text!r}: expected a number of seconds, for example" in said


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("text", ["nan", "-1", "-0.001", "-inf"])
def test_a_time_that_is_negative_or_no_number_at_all_is_refused(name, text):
    assert f"{variable(name)}=" in refusal(**{variable(name): text})


@pytest.mark.parametrize("name", ["timeout_s", "connect_timeout_s", "margin_s"])
@pytest.mark.parametrize("text", ["inf", "1e400", "1e300"])
def test_a_time_that_no_socket_can_wait_is_refused(name, text):
    """socket.settimeout raises OverflowError from about 292 years on, infinity included."""
    assert f"{variable(name)}=" in refusal(**{variable(name): text})


@pytest.mark.parametrize("name", sorted(set(SECONDS) - {"margin_s", "fresh_s", "probe_s"}))
def test_a_limit_of_zero_seconds_is_refused(name):
    said = refusal(**{variable(name): "0"})
    assert f"{variable(name)}=0.0: must be " in said
    assert "more than 0 seconds" in said or "20 seconds to a day" in said


@pytest.mark.parametrize("text", ["0", "-3"])
def test_at_least_one_session_is_needed(text):
    assert "at least one session" in refusal(BROKER_MAX_SESSIONS=text)


@pytest.mark.parametrize(
    ("name", "text", "choices"),
    [
        ("BROKER_TLS", "verify_full", "'verify-full' or 'require' or 'off'"),
        ("BROKER_TLS", "disable", "'verify-full' or 'require' or 'off'"),
        ("BROKER_STRICT", "yes", "'1' or '0'"),
        ("BROKER_GUARD", "on", "'refuse' or 'warn' or 'off'"),
        ("BROKER_FLAVOUR", "rdsproxy", "'direct' or 'pgbouncer' or 'rds-proxy'"),
    ],
)
def test_a_word_that_is_none_of_the_choices_is_refused_with_the_choices(name, text, choices):
    assert f"{name}={text!r}: expected {choices}" in refusal(**{name: text})


@pytest.mark.parametrize("tls", ["require", "off"])
def test_an_authority_that_nothing_is_verified_against_is_a_contradiction(tls):
    said = refusal(BROKER_TLS=tls, BROKER_TLS_CA="/opt/ca.pem")

    assert "BROKER_TLS_CA" in said
    assert f"BROKER_TLS={tls} verifies nothing" in said


def test_an_empty_variable_is_one_that_is_not_there():
    assert read(BROKER_PORT="", BROKER_TLS=" ", BROKER_TIMEOUT_S="").port == 5432


def test_blanks_around_a_value_do_not_count_but_a_password_is_taken_as_it_is():
    settings = read(BROKER_HOST=" db ", BROKER_PORT=" 6432\n", BROKER_PASSWORD=" pass word ")

    assert (settings.host, settings.port, settings.password) == ("db", 6432, " pass word ")


def test_settings_made_in_code_are_checked_as_those_of_the_environment_are():
    with pytest.raises(ConfigurationError, match="BROKER_MAX_SESSIONS=0"):
        fakes.settings(max_sessions=0)
    with pytest.raises(ConfigurationError, match="must name a host"):
        fakes.settings(host="")


@pytest.mark.parametrize("name", SECONDS)
def test_a_time_in_code_is_a_number_too(name):
    with pytest.raises(ConfigurationError, match=variable(name)):
        fakes.settings(**{name: float("nan")})


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        fakes.settings().host = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "show", [repr, str, "{!r}".format, lambda s: repr([s]), lambda s: repr({1: s})]
)
def test_settings_show_all_but_the_password(show):
    shown = show(fakes.settings())

    assert "s3cret" not in shown
    assert "'db.example'" in shown
    assert all(f"{name}=" in shown for name in NAMES if name != "password")


def test_a_copy_does_not_show_the_password_either():
    for settings in (
        copy.copy(fakes.settings()),
        pickle.loads(pickle.dumps(fakes.settings())),
        dataclasses.replace(fakes.settings(), port=1),
    ):
        assert settings.password == "s3cret-pässwörd"
        assert "s3cret" not in repr(settings)


def test_on_lambda_the_application_is_named_after_the_function_and_its_version():
    environ = {
        **COMPLETE,
        "AWS_LAMBDA_FUNCTION_NAME": "orders",
        "AWS_LAMBDA_FUNCTION_VERSION": "12",
    }

    assert Settings.from_env(environ).application_name == "orders:12"
    del environ["AWS_LAMBDA_FUNCTION_VERSION"]
    assert Settings.from_env(environ).application_name == "orders:$LATEST"
    environ["BROKER_APPLICATION_NAME"] = "mine"
    assert Settings.from_env(environ).application_name == "mine"


@example(name="a" * 64, version="$LATEST")
@given(
    name=st.text("abcXYZ-_019", min_size=1, max_size=64),
    version=st.integers(min_value=1, max_value=10**9).map(str) | st.just("$LATEST"),
)
def test_the_name_is_one_that_postgres_keeps_whole_and_the_version_survives(name, version):
    settings = Settings.from_env(
        {**COMPLETE, "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_LAMBDA_FUNCTION_VERSION": version}
    )

    assert len(settings.application_name.encode()) <= 63
    kept, _, told = settings.application_name.rpartition(":")
    assert told == version
    assert name.startswith(kept)
    assert len(settings.application_name) == min(63, len(name) + 1 + len(version))


def test_only_rds_proxy_pins_on_settings():
    assert [flavour for flavour in Flavour if flavour.pins_on_settings] == [Flavour.RDS_PROXY]


@pytest.mark.parametrize(
    ("memory_mb", "given", "limit_mb"),
    [("1024", {}, 64.0), ("128", {}, 8.0), ("10", {}, 1.0), ("1024", {"MAX_RESULT_MB": "5"}, 5.0)],
)
def test_an_answer_may_take_a_share_of_the_functions_memory(memory_mb, given, limit_mb):
    told = {f"BROKER_{name}": value for name, value in given.items()}

    settings = Settings.from_env({**COMPLETE, **told, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory_mb})

    assert settings.max_result_mb == limit_mb
