"""A template's mistake is one line that names the property, what is wrong and what is right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.provisioner.certificate import Certificate
from lambdas.provisioner.refusal import LONGEST, Refused, one_line
from lambdas.provisioner.wanted import Kind, Role, Wanted, roles_of

ROLE: dict[str, Any] = {"name": "app", "kind": "app", "database": "appdb", "secret_arn": "arn"}
GOOD: dict[str, Any] = {
    "ServiceToken": "arn:aws:lambda:…",
    "Host": "db.example",
    "Port": "5432",
    "AdminSecretArn": "arn:admin",
    "TlsCa": "rds",
    "Databases": ["postgres", "appdb"],
    "Roles": json.dumps([ROLE]),
}
CERTIFICATE: dict[str, Any] = {
    "SecretArn": "arn:a",
    "CaSecretArn": "arn:b",
    "Names": ["nlb.example"],
    "RenewDays": "30",
}
LEFT_OUT = object()


def changed(properties: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {k: v for k, v in {**properties, name: value}.items() if v is not LEFT_OUT}


def test_good_properties_are_read_as_they_are():
    wanted = Wanted.read(GOOD)

    assert (wanted.host, wanted.port, wanted.databases) == (
        "db.example",
        5432,
        ("postgres", "appdb"),
    )
    assert wanted.roles == (Role("app", Kind.APP, "appdb", -1, {}, "arn"),)


@pytest.mark.parametrize("name", [name for name in GOOD if name != "ServiceToken"])
@pytest.mark.parametrize("value", [LEFT_OUT, "", None, 7.5, {"a": 1}, [1]])
def test_a_property_that_is_missing_or_odd_is_named(name, value):
    with pytest.raises(Refused, match=rf"^Custom::BrokerRoles: {name}"):
        Wanted.read(changed(GOOD, name, value))


@pytest.mark.parametrize("port", ["0", "65536", "many", True, "-1"])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(Refused, match=r"Port=.* from 1 to 65535"):
        Wanted.read(changed(GOOD, "Port", port))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name=''"),
        ({"name": "x" * 64}, "1 to 63 bytes"),
        ({"name": "a\0b"}, "1 to 63 bytes"),
        ({"name": "pg_mine"}, "the platform's own"),
        ({"name": "rdsproxyadmin"}, "the platform's own"),
        ({"name": "public"}, "the platform's own"),
        ({"kind": "owner"}, "none of app, monitor, reaper"),
        ({"kind": ["app"]}, "none of app, monitor, reaper"),
        ({"database": "other"}, "none of Databases: postgres, appdb"),
        ({"connection_limit": "lots"}, "from -1 to"),
        ({"connection_limits": 3}, "connection_limits is none of name, kind"),
        ({"settings": "statement_timeout"}, "must be an object"),
        ({"settings": {"bad name; drop": "1"}}, "no setting of PostgreSQL's"),
        ({"settings": {"statement_timeout": None}}, "no setting of PostgreSQL's"),
        ({"secret_arn": ""}, "an ARN, or null for IAM"),
    ],
)
def test_a_role_that_is_odd_is_named_by_its_place(change, said):
    with pytest.raises(Refused, match=said) as raised:
        Wanted.read(changed(GOOD, "Roles", json.dumps([ROLE, {**ROLE, "name": "b", **change}])))
    assert "Roles[1]" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{", "{}", "[]", '"app"', "[1]", "[null]"])
def test_roles_that_are_no_list_of_roles_are_refused(text):
    with pytest.raises(Refused, match="Roles"):
        Wanted.read(changed(GOOD, "Roles", text))
    assert roles_of(changed(GOOD, "Roles", text)) == ()


def test_a_role_that_is_there_twice_and_a_database_of_the_servers_are_refused():
    with pytest.raises(Refused, match="app is there twice"):
        Wanted.read(changed(GOOD, "Roles", json.dumps([ROLE, ROLE])))
    with pytest.raises(Refused, match="template1 is the server's own"):
        Wanted.read(changed(GOOD, "Databases", ["appdb", "template1"]))


@pytest.mark.parametrize("properties", [None, [], "text", {}])
def test_properties_that_are_none_are_refused(properties):
    for read in (Wanted.read, Certificate.read):
        with pytest.raises(Refused):
            read(properties)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
    )
)
def test_whatever_the_roles_are_the_answer_is_a_refusal_and_no_fault(value):
    with pytest.raises(Refused):
        Wanted.read(changed(GOOD, "Roles", json.dumps([{**ROLE, "settings": value, "x": value}])))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Names", [], "Names"),
        ("Names", "nlb.example", "Names"),
        ("Names", ["nlb example"], "no DNS name"),
        ("Names", ["-a.example"], "no DNS name"),
        ("Names", ["a" * 64 + ".example"], "no DNS name"),
        ("Names", [".".join(["a" * 60] * 5)], "no DNS name"),
        ("RenewDays", "90", "from 1 to 89"),
        ("RenewDays", "0", "from 1 to 89"),
        ("RenewDays", LEFT_OUT, "RenewDays"),
        ("SecretArn", "", "SecretArn"),
        ("CaSecretArn", "arn:a", "are the same"),
    ],
)
def test_a_certificate_that_is_odd_is_refused(name, value, said):
    with pytest.raises(Refused, match=said):
        Certificate.read(changed(CERTIFICATE, name, value))


@given(st.text(max_size=3 * LONGEST))
def test_a_reason_is_one_line_that_fits(text):
    line = one_line(text)

    assert len(line) <= LONGEST
    assert len(line.splitlines()) <= 1
