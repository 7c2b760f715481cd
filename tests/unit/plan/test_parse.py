"""Bad input: one line that names file, key, value and remedy; never another error."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import UsageError
from broker.plan import BadDeployment, Deployment, parse, read
from broker.plan.deployment import Flavour
from broker.settings import Flavour as LibraryFlavour

DATABASE = "[database]\nmax_connections = 100\n"
FUNCTION = '[[functions]]\nname = "orders"\nconcurrency = 10\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[database]\nmax_conections = 9", "database.max_conections = 9: unknown key; did you mean "
         "max_connections?"),
        ("[databse]", "databse = {}: unknown key; did you mean database?"),
        ("", "database: missing; write [database]"),
        ("[database]", "database.max_connections: missing; give it, or instance ="),
        ("[database]\nmax_connections = -5", "max_connections = -5: must be a whole number"),
        ("[database]\nmax_connections = true", "max_connections = True: must be a whole number"),
        ('[database]\ninstance = "db.m7g.lage"', 'instance = "db.m7g.lage": unknown instance '
         "class; did you mean db.m7g.large?"),
        (DATABASE + 'memory = "8"', 'database.memory = "8": has no unit: give it with its unit'),
        (DATABASE + "memory = 8", "database.memory = 8: give it with its unit"),
        (DATABASE + 'memory = "8 GX"', "has the unknown unit 'GX'"),
        (DATABASE + 'memory = "0 GiB"', "must be more than 0"),
        (DATABASE + 'engine = "mysql"', 'database.engine = "mysql": must be one of postgresql'),
        (DATABASE + "[broker]\ntasks = 0", "broker.tasks = 0: must be a whole number between 1"),
        (DATABASE + "[broker]\noverlap = 0.5", "broker.overlap = 0.5: must be a number between 1"),
        (DATABASE + "[broker]\noverlap = nan", "broker.overlap = nan: must be a number between 1"),
        (DATABASE + '[broker]\nflavour = "bouncer"', "did you mean pgbouncer?"),
        (DATABASE + '[broker]\npairs = ["app db/x"]', "broker.pairs"),
        (DATABASE + '[broker]\npairs = ["pgbouncer/x"]', "the pooler's own console"),
        (DATABASE + '[broker]\npairs = ["a/b", "a/b"]', "names a pair twice"),
        (DATABASE + FUNCTION + FUNCTION, 'functions[1].name = "orders": is there twice'),
        (DATABASE + FUNCTION + '[[services]]\nname = "orders"\ninstances = 1', "is there twice"),
        (DATABASE + FUNCTION.replace("10", "0"), "functions[0].concurrency = 0: must be a whole "
         "number between 1 and 1,000,000 (0 switches the function off), for example"),
        (DATABASE + '[[functions]]\nname = "a"', "functions[0].concurrency: missing for a"),
        (DATABASE + "[functions]\nname = 1", "must be an array of tables: write [[functions]]"),
        (DATABASE + FUNCTION + 'rate = "5"', 'functions[0].rate = "5": has no unit'),
        (DATABASE + FUNCTION + 'rate = "5 /s"', "functions[0].mean: missing; rate and mean need"),
        (DATABASE + FUNCTION + 'p99 = "5 ms"', "p99"),
        (DATABASE + FUNCTION + 'timeout = "1 h"', "functions[0].timeout"),
        (DATABASE + FUNCTION + 'timeout = "1 s"', "must be 2 s at least"),
        (DATABASE + FUNCTION + 'pair = "appdb/ap"', "did you mean appdb/app?"),
        (DATABASE + '[[reserved]]\nname = "x"\nsessions = 1', "reserved[0].reason: missing"),
        (DATABASE + "[prices]\nnbl = 1", "did you mean nlb"),
        (DATABASE + "max_acu = 4", 'only for instance = "serverless"'),
        ("database = 3", "must be a table, as [database]"),
        ("[database", "is not TOML: "),
        ("[database]\nmax_connections = 0x" + "f" * 5000, "max_connections = a number of"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line_with_file_key_value_and_remedy(text: str, said: str) -> None:
    with pytest.raises(BadDeployment) as caught:
        parse(text, "deploy.toml")
    message = str(caught.value)
    assert message.startswith("deploy.toml: ")
    assert said in message
    assert "\n" not in message
    assert isinstance(caught.value, UsageError)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (tmp_path / "none.toml", tmp_path, binary):
        with pytest.raises(BadDeployment, match=str(path)):
            read(path)


scalars = st.booleans() | st.integers() | st.floats() | st.sampled_from(["x", "", "5 s", "1 GiB"])
values: st.SearchStrategy[object] = (
    scalars | st.lists(scalars, max_size=2) | st.just([{}]) | st.just([{"name": "x"}])
)
KEYS = """database broker functions services reserved account prices name instance memory tasks
pairs sessions rate mean timeout concurrency max_connections flavour engine"""
keys = st.sampled_from(KEYS.split())


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (int, float)) else f"'{value}'"


@given(st.dictionaries(keys, st.dictionaries(keys, values, max_size=3) | values, max_size=4))
def test_whatever_is_in_the_file_it_parses_or_says_what_is_wrong(value: dict[str, object]) -> None:
    try:
        found = parse("\n".join(f"{key} = {toml(item)}" for key, item in value.items()))
    except BadDeployment as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(found, Deployment)


@given(st.text(max_size=60))
def test_no_text_is_a_traceback(text: str) -> None:
    with pytest.raises(BadDeployment):
        parse(text)


def test_the_flavours_are_the_librarys() -> None:
    assert [each.value for each in Flavour] == [each.value for each in LibraryFlavour]


def test_a_file_may_be_named_as_text() -> None:
    example = Path(__file__).parents[3] / "broker.toml"
    assert read(str(example)) == dataclasses.replace(read(example), file=str(example))
