"""What RDS adds to PostgreSQL for IAM: a role whose members log in with a token."""

from __future__ import annotations

from pathlib import Path

from broker.local.postgres import Postgres
from broker.local.process import LOOPBACK

ROLE = "rds_iam"


def ask_for_tokens(postgres: Postgres, port: int) -> None:
    """Have members of rds_iam show a token, and ask whoever listens on the port about it."""
    postgres.admin(f"create role {ROLE} nologin")
    ((hba,),) = postgres.admin("select current_setting('hba_file')")
    file = Path(hba)
    rule = f'hostssl all +{ROLE} all ldap ldapserver={LOOPBACK} ldapport={port} ldapprefix="user="'
    file.write_text(f"{rule}\n{file.read_text()}")  # the first rule that fits is the one
    postgres.restart()
