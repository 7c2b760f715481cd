"""Serve the emulator on loopback, with what it is taught here: python -m tests.deployment.emulator.

The environment says where: GATEWAY_PORT and the rest as ministack reads it, and
EMULATOR_DATABASE_PASSWORD, the administrator's on the PostgreSQL that stands for RDS, which asks at
EMULATOR_LOGIN_PORT whether a token is good.
"""

from __future__ import annotations

import os
from pathlib import Path

RUNTIME = Path(__file__).with_name("runtime")


def main() -> None:
    """Teach, then serve until SIGTERM."""
    password = os.environ.pop("EMULATOR_DATABASE_PASSWORD")
    # The functions' processes inherit this: never this repository, whose broker they must not find.
    os.environ["PYTHONPATH"] = str(RUNTIME)
    from ministack import app  # reads the environment as it is loaded
    from ministack.services.cloudformation import provisioners

    from . import cloudwatch, destinations, ec2, ecs, functions, iam_login, rds, route53, secrets

    provisioners._RESOURCE_HANDLERS |= {
        **cloudwatch.HANDLERS,
        **ec2.HANDLERS,
        **ecs.HANDLERS,
        **functions.HANDLERS,
        **route53.HANDLERS,
        **secrets.HANDLERS,
        **rds.handlers(password),
    }
    destinations.install()
    ecs.install()
    account, region = os.environ["MINISTACK_ACCOUNT_ID"], os.environ["AWS_REGION"]
    iam_login.serve(int(os.environ["EMULATOR_LOGIN_PORT"]), account, region)
    app.main()


main()
