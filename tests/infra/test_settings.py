"""Bad input is one line that names file, key, value and remedy, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack

from broker.errors import BrokerError
from broker.plan import DoesNotFit
from broker.plan import read as read_deployment
from infra.connection_broker import ConnectionBroker
from infra.database_settings import EXISTING as EXISTING_KEYS
from infra.database_settings import NEW, ExistingDatabase, NewDatabase
from infra.options import Auth, Options
from infra.settings import CONTEXT, DEPLOY, OF_MAKE_DEPLOY, Settings, read_options, read_settings
from infra.vpc_settings import VPC, ExistingVpc, NewVpc
from infra.watch_settings import WATCH, Alarming, Reaping

from .conftest import toml

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:pooler-AbCdEf"
EXISTING = toml(origin="existing")


def read(tmp_path: Path, text: str, **context: Any) -> Settings:
    (tmp_path / "broker.toml").write_text(text)
    return read_settings(context, tmp_path)


def test_without_a_word_everything_is_new(tmp_path: Path) -> None:
    settings = read(tmp_path, toml())
    assert settings.name == "broker"
    assert settings.vpc == NewVpc()
    assert settings.database == NewDatabase()
    assert settings.options.auth is Auth.SECRET
    assert settings.region is None


def test_a_cluster_has_a_reader_unless_told_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, toml(kind="cluster")).database == NewDatabase(readers=1)


def test_what_exists_is_read_as_it_is_named(tmp_path: Path) -> None:
    settings = read(tmp_path, EXISTING)
    assert isinstance(settings.database, ExistingDatabase)
    assert (settings.database.identifier, settings.database.port) == ("orders", 5433)
    assert isinstance(settings.vpc, ExistingVpc)
    assert not settings.vpc.lookup


def test_the_context_goes_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(toml("direct", broker="cap = 100"))
    context = {"config": "other.toml", "flavour": "pgbouncer", "image": "repo/pgbouncer:1"}
    settings = read_settings(context, tmp_path)
    assert settings.plan.deployment.middle.flavour.value == "pgbouncer"
    assert settings.options.image == "repo/pgbouncer:1"


def own_app(tmp_path: Path, deploy: str) -> Path:
    path = tmp_path / "broker.toml"
    path.write_text(f"[database]\nmax_connections = 100\n[deploy]\n{deploy}\n")
    return path


def test_an_app_of_one_s_own_reads_what_deploy_says_of_the_broker(tmp_path: Path) -> None:
    path = own_app(tmp_path, 'image = "repo/pgbouncer:1"\n[deploy.reaper]\nend = true')
    options = read_options(path)
    assert options.image == "repo/pgbouncer:1"
    assert options.watch.reaper == Reaping(end=True)
    assert options.file == str(path)


@pytest.mark.parametrize("key", OF_MAKE_DEPLOY)
def test_what_such_an_app_says_itself_is_refused_in_the_file(key: str, tmp_path: Path) -> None:
    said = f"[deploy.{key}]" if key in ("vpc", "database") else f'{key} = "orders"'
    with pytest.raises(BrokerError, match=f"deploy.{key}.*leave it out"):
        read_options(own_app(tmp_path, said))


@pytest.mark.parametrize("options", [None, Options(image="repo/pgbouncer:1")])
def test_a_deploy_that_nobody_read_is_refused(options: Options | None, tmp_path: Path) -> None:
    stack = Stack(App(), "Theirs")
    given: Any = {"database": None, "vpc": None, "options": options}
    path = own_app(tmp_path, 'imgae = "repo/pgbouncer:1"')
    with pytest.raises(BrokerError, match=r"\[deploy\] would be ignored.*read_options"):
        ConnectionBroker(stack, "Broker", deployment=read_deployment(path), **given)
    with pytest.raises(BrokerError, match=r"deploy.imgae.*did you mean image"):
        read_options(path)


def test_other_people_s_context_is_theirs(tmp_path: Path) -> None:
    assert read(tmp_path, toml(), **{"@aws-cdk/core:x": True, "stage": "dev"})


def test_everything_watches_unless_told_otherwise_and_the_reaper_ends_nobody(
    tmp_path: Path,
) -> None:
    watch = read(tmp_path, toml()).options.watch
    assert (watch.monitor, watch.dashboard) == (True, True)
    assert watch.reaper == Reaping(end=False, idle_s=300, at_most=10)
    assert watch.alarms == Alarming(topic=None, notices=None)


def test_each_watcher_is_switched_off_by_itself(tmp_path: Path) -> None:
    off = "[deploy.monitor]\non = false\n[deploy.reaper]\non = false\n[deploy.alarms]\non = false\n"
    watch = read(tmp_path, toml(deploy=off)).options.watch
    assert (watch.monitor, watch.reaper, watch.alarms) == (False, None, None)


BAD_CONTEXT = [
    ({"flavour": "pgbuoncer"}, "-c flavour=pgbuoncer: must be one of direct, pgbouncer, rds-proxy"),
    ({"flavor": "direct"}, "-c flavor: unknown; did you mean -c flavour?"),
    ({"Config": "x.toml"}, "-c Config: unknown; did you mean -c config?"),
    ({"config": "none.toml"}, "none.toml: No such file or directory"),
]


@pytest.mark.parametrize(("context", "told"), BAD_CONTEXT)
def test_a_wrong_context_is_told(tmp_path: Path, context: dict[str, str], told: str) -> None:
    with pytest.raises(BrokerError) as refused:
        read(tmp_path, toml(), **context)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


LOOKED_UP = '[deploy.vpc]\nid = "vpc-1"\nlookup = true'
GIVEN = '[deploy.vpc]\nid = "vpc-1"\navailability_zones = ["a", "b"]\nsubnets = ["s", "t"]'
BAD_DEPLOY = [
    ('nmae = "x"', "deploy.nmae", "unknown key; did you mean name?"),
    ('[deploy.reaper]\nidle = "30 s"', 'deploy.reaper.idle = "30 s"', "a minute at least"),
    ('[deploy.reaper]\nevery = "90 s"', 'deploy.reaper.every = "90 s"', "whole minutes"),
    ("[deploy.reaper]\nat_most = 0", "deploy.reaper.at_most = 0", "between 1 and 100"),
    ('[deploy.reaper]\nexcluded = ["a b"]', "deploy.reaper.excluded", "names without blanks"),
    ('[deploy.monitor]\nrole = "pg_mine"', 'deploy.monitor.role = "pg_mine"', "the server's own"),
    (f'[deploy.reaper]\nrole = "{"r" * 64}"', "deploy.reaper.role", "at most 63"),
    ('[deploy.reaper]\nrole = "app"', "deploy.reaper.role: app", "a role of their own"),
    (
        '[deploy.monitor]\nrole = "w"\n[deploy.reaper]\nrole = "w"',
        "deploy.monitor.role: w",
        "a role of their own",
    ),
    ("[deploy.monitor]\nof = true", "deploy.monitor.of", "did you mean on?"),
    ('[deploy.alarms]\ntopic = "pages"', 'deploy.alarms.topic = "pages"', "ARN of an SNS topic"),
    (
        '[deploy.alarms]\nnotices = "arn:aws:sns:eu-west-1:123456789012:n"',
        "deploy.alarms.notices",
        "needs topic",
    ),
    ('name = "my stack"', 'deploy.name = "my stack"', "letters, digits and -"),
    ('auth = "iam"', 'deploy.auth = "iam"', "PgBouncer knows no IAM"),
    ('auth = "password"', 'deploy.auth = "password"', "must be one of secret, iam"),
    ('region = "eu-west-1"', 'deploy.region = "eu-west-1"', "has prices of us-east-1 only"),
    ('powertools = "yes"', 'deploy.powertools = "yes"', 'must be "bundled" or the ARN'),
    ('certificate_secret = "x"', "deploy.certificate_secret", "must be a secret's whole ARN"),
    (f'certificate_secret = "{SECRET}"', "deploy.certificate_host", "missing"),
    ('certificate_host = "a.b"', "deploy.certificate_host", "needs certificate_secret"),
    ("certificate_record = false", "deploy.certificate_record", "needs certificate_secret"),
    (
        f'certificate_secret = "{SECRET}"\ncertificate_host = "https://pooler"',
        "deploy.certificate_host",
        "must be a whole name",
    ),
    ("vpc = 3", "deploy.vpc = 3", "must be a table"),
    ('[deploy.vpc]\nid = "vpc-1"', "deploy.vpc.availability_zones", "missing beside id"),
    (
        '[deploy.vpc]\nid = "vpc-1"\navailability_zones = ["a", "b"]',
        "deploy.vpc.subnets",
        "missing beside id; give both lists, or lookup = true",
    ),
    (
        '[deploy.vpc]\nid = "vpc-1"\navailability_zones = ["a", "b"]\nsubnets = ["s"]',
        "deploy.vpc.subnets",
        "one for each of the availability_zones",
    ),
    (
        '[deploy.vpc]\nid = "vpc-1"\navailability_zones = ["a", "a"]\nsubnets = ["s", "t"]',
        "deploy.vpc.availability_zones",
        "must be 2+, each once",
    ),
    ('[deploy.vpc]\nendpoints = ["s3"]', "deploy.vpc.endpoints", "needs the VPC's id"),
    (f'{LOOKED_UP}\ncidr = "10.0.0.0/16"', "deploy.vpc.cidr", "is looked up: leave it out"),
    (f'{LOOKED_UP}\nroute_tables = ["r"]', "deploy.vpc.route_tables", "is looked up"),
    (
        f'{LOOKED_UP}\nendpoints = ["dynamodb"]',
        "deploy.vpc.endpoints",
        "with pgbouncer it must be of s3, secretsmanager, ecr.api, ecr.dkr, logs, each once",
    ),
    (f'{LOOKED_UP}\nendpoints = ["s3", "s3"]', "deploy.vpc.endpoints", "each once"),
    (f"{LOOKED_UP}\nendpoints = true", "deploy.vpc.endpoints = True", "must be a list of texts"),
    (
        f'{GIVEN}\nendpoints = ["secretsmanager"]',
        "deploy.vpc.cidr",
        "missing; the endpoint of secretsmanager must let in the VPC's range",
    ),
    (
        f'{GIVEN}\nendpoints = ["secretsmanager"]\ncidr = "10.0.0.0/29"',
        "deploy.vpc.cidr",
        "IPv4 range of /16 to /28",
    ),
    (f'{GIVEN}\ncidr = "10.0.0.0/16"', "deploy.vpc.cidr", "only a new VPC, or endpoints"),
    (
        f'{GIVEN}\nendpoints = ["s3"]',
        "deploy.vpc.route_tables",
        "missing; an endpoint of s3 is a route of each subnet's",
    ),
    (
        f'{GIVEN}\nendpoints = ["s3"]\nroute_tables = ["r"]',
        "deploy.vpc.route_tables",
        "must be one for each of the subnets",
    ),
    (f'{GIVEN}\nroute_tables = ["r", "r"]', "deploy.vpc.route_tables", "leave it out"),
    ('[deploy.vpc]\nsubnets = ["s"]', "deploy.vpc.subnets", "needs the VPC's id"),
    ("[deploy.vpc]\nlookup = true", "deploy.vpc.lookup", "needs the VPC's id"),
    ('[deploy.vpc]\nid = "vpc-1"\nnat = true', "deploy.vpc.nat", "is for a new VPC"),
    ('[deploy.vpc]\nnat = "yes"', 'deploy.vpc.nat = "yes"', "must be true or false"),
    ('[deploy.vpc]\ncidr = "10.0.0.0/8"', "deploy.vpc.cidr", "IPv4 range of /16 to /24"),
    ('[deploy.vpc]\ncidr = "10.0.0.1/16"', "deploy.vpc.cidr", "IPv4 range of /16 to /24"),
    ('[deploy.database]\nversion = "9.6"', "deploy.database.version", "a version of 14 to 19"),
    ("[deploy.database]\nreaders = 1", "deploy.database.readers", "is for engine"),
    ('[deploy.database]\nstorage = "5 GiB"', "deploy.database.storage", "20 GiB at least"),
    ('[deploy.database]\nkind = "instance"', "deploy.database.port", "missing"),
    ('[deploy.database]\nkind = "cluster"', "deploy.database.kind", 'must be "instance"'),
]


@pytest.mark.parametrize(("deploy", "key", "told"), BAD_DEPLOY)
def test_a_bad_deploy_table_is_told(tmp_path: Path, deploy: str, key: str, told: str) -> None:
    with pytest.raises(BrokerError) as refused:
        read(tmp_path, toml(deploy=deploy))
    line = str(refused.value)
    assert line.startswith(f"{tmp_path / 'broker.toml'}: {key}")
    assert told in line
    assert "\n" not in line


BAD_EXISTING = [
    ("port = 5433", "", "deploy.database.port: missing"),
    ('kind = "instance"', "", "deploy.database.kind: missing"),
    ('kind = "instance"', 'kind = "cluster"', 'deploy.database.kind = "cluster"'),
    ('security_group = "sg-0123456789abcdef0"', "", "deploy.database.security_group: missing"),
    ('endpoint = "orders.abc.eu-west-1.rds.amazonaws.com"', "", "deploy.database.endpoint"),
    ('identifier = "orders"', "", "deploy.database.identifier: missing"),
    ("secret:orders-AbCdEf", "secret:orders", "must be the whole ARN"),
    ("port = 5433", 'port = 5433\nversion = "17.6"', "is for a new database"),
    ("port = 5433", 'port = 5433\nreader_endpoint = "x"', "only a cluster has one"),
    ('id = "vpc-0123456789abcdef0"', "", "needs the VPC's id"),
]


@pytest.mark.parametrize(("before", "after", "told"), BAD_EXISTING)
def test_an_existing_database_must_be_told_whole(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    assert before in EXISTING
    with pytest.raises(BrokerError) as refused:
        read(tmp_path, EXISTING.replace(before, after))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_existing_database_needs_its_vpc(tmp_path: Path) -> None:
    text = EXISTING[: EXISTING.index("[deploy.vpc]")] + EXISTING[EXISTING.index("[deploy.dat") :]
    with pytest.raises(BrokerError, match=r"deploy\.vpc: missing; an existing database"):
        read(tmp_path, text)


def test_iam_on_an_existing_database_needs_its_resource_id(tmp_path: Path) -> None:
    text = toml(
        "rds-proxy", "existing", broker="proxy_minimum_percent = 10", deploy='auth = "iam"'
    ).replace('resource_id = "db-ABCDEFGHIJKL"', "")
    with pytest.raises(BrokerError, match=r"deploy\.database\.resource_id: missing; IAM needs it"):
        read(tmp_path, text)


def test_a_new_database_needs_its_class(tmp_path: Path) -> None:
    text = toml().replace('instance = "db.m7g.large"', "")
    with pytest.raises(BrokerError, match=r"database\.instance: missing; a new database"):
        read(tmp_path, text)


@pytest.mark.parametrize("flavour", ["rds-proxy", "pgbouncer"])
def test_a_server_of_one_s_own_is_not_deployed_to(tmp_path: Path, flavour: str) -> None:
    text = toml(flavour).replace('engine = "rds-postgresql"', 'engine = "postgresql"')
    text = text.replace('instance = "db.m7g.large"', "")
    with pytest.raises(BrokerError, match=f'"postgresql": .*nor {flavour} in front of it; use'):
        read(tmp_path, text)


def test_a_region_whose_prices_are_given_is_taken(tmp_path: Path) -> None:
    prices = '\n[prices]\nregion = "eu-west-1"\n'
    text = toml(deploy='region = "eu-west-1"') + prices + "fargate_vcpu = 0.03725\n"
    assert read(tmp_path, text).region == "eu-west-1"


def test_another_region_s_prices_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    text = toml(deploy='region = "eu-west-1"') + '\n[prices]\nregion = "eu-west-1"\n'
    with pytest.raises(BrokerError, match="has prices of us-east-1 only") as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_what_the_plan_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit) as refused:
        read(tmp_path, toml().replace("concurrency = 50", "concurrency = 950"))
    assert "970 reserved of an account's 1,000 leave 30, and 100 must stay" in str(refused.value)


def test_every_key_and_every_context_is_documented() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = "".join((docs / name).read_text() for name in ("deploy.md", "existing-database.md"))
    for key in {*DEPLOY, *VPC, *NEW, *EXISTING_KEYS} - {"vpc", "database", *WATCH}:
        assert f"{key} = " in page or f"`{key} = " in page or f"with {key} " in page, key
    assert "[deploy.vpc]" in page
    assert "[deploy.database]" in page
    watching = (docs / "monitor.md").read_text()
    for table, keys in WATCH.items():
        told = watching.partition(f"[deploy.{table}]")[2].partition("\n\n")[0]
        assert {line.split(" = ")[0].lstrip("# ") for line in told.splitlines()[1:]} >= {*keys}
    for key in CONTEXT:
        assert f"-c {key}=" in page or f"{key}=" in page, key
