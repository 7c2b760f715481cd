"""A function that Lambda would refuse is refused here, and its variables are Lambda's."""

from __future__ import annotations

import pytest

from broker.local.function import RESERVED_VARIABLES, Function, InvalidFunction
from broker.local.variables import base_variables, variables


def function(code, **changes):
    return Function(**({"name": "orders", "handler": "app.handler", "code": code} | changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "a b"}, "the name"),
        ({"handler": "handler"}, "module.attribute"),
        ({"timeout_s": 901}, "901 s"),
        ({"timeout_s": 0}, "0 s"),
        ({"memory_mb": 64}, "64 MB"),
        ({"reserved_concurrency": -1}, "-1 is negative"),
        ({"environment": {"_HANDLER": "x"}}, "Lambda sets _HANDLER itself"),
    ],
)
def test_an_impossible_function_is_refused_with_the_value_named(tmp_path, changes, named):
    with pytest.raises(InvalidFunction, match=named):
        function(tmp_path, **changes)


def test_code_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InvalidFunction, match="does not exist"):
        function(tmp_path / "nowhere")


def test_a_function_cannot_be_changed_through_the_mapping_it_was_given(tmp_path):
    given = {"COLOUR": "red"}
    made = function(tmp_path, environment=given)
    given["COLOUR"] = "blue"

    assert made.environment == {"COLOUR": "red"}
    assert made == function(tmp_path, environment={"COLOUR": "red"})


def test_lambdas_own_variables_are_all_set(tmp_path):
    told = variables(function(tmp_path), runtime_api="127.0.0.1:9001", log_stream="stream")

    assert told.keys() >= RESERVED_VARIABLES
    assert told["AWS_LAMBDA_RUNTIME_API"] == "127.0.0.1:9001"
    assert told["TZ"] == ":UTC"


def test_nothing_of_the_developers_own_environment_gets_in():
    ambient = {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_PROFILE": "production",
        "BROKER_PASSWORD": "secret",
        "HOME": "/home/dev",
        "PATH": "/bin",
        "http_proxy": "http://proxy",
    }
    told = base_variables(ambient)

    assert told["PATH"] == "/bin"
    assert not set(told.values()) & (set(ambient.values()) - {"/bin"})


def test_a_functions_own_variables_come_before_the_ambient_ones(tmp_path):
    made = function(tmp_path, environment={"TZ": "Europe/Paris", "BROKER_HOST": "db"})
    told = variables(made, runtime_api="127.0.0.1:1", log_stream="s")

    assert (told["TZ"], told["BROKER_HOST"]) == ("Europe/Paris", "db")
