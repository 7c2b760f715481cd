"""RDS' log-in with IAM: what stands for its PAM module, which PostgreSQL asks over LDAP.

A member of rds_iam shows a token in place of a password. It is good if the emulator's own code
verifies its signature, with the keys of the role that signed it, and that role's policies allow
rds-db:connect as this user of the database, or the proxy, that the token names.
"""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from io import BufferedIOBase, BytesIO

from ministack.core.iam_evaluator import AuthError, EvalContext, evaluate, resolve_principal
from ministack.core.rds_iam import VerifiedRdsToken, verify_rds_iam_token
from ministack.core.responses import request_scope
from ministack.services import rds, sts

USER = "user="  # what pg_hba.conf's ldapprefix puts before the name
BIND = 0x60  # RFC 4511: BindRequest's tag
SUCCESS, INVALID_CREDENTIALS = 0, 49  # its resultCode
SESSION_S = 3600  # a role's keys end on AWS, and the emulator verifies no token without an end


def serve(port: int, account: str, region: str) -> None:
    """Answer from now on, in a thread of its own."""

    class Binding(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            """Answer one bind; PostgreSQL closes after it."""
            _, message = element(self.rfile)
            parts = list(elements(message))
            (_, number), (kind, request) = parts[:2]
            if kind != BIND:
                return
            _version, (_, name), (_, password) = elements(request)
            with request_scope(account, region):
                why_not = refusal(name.decode(), password.decode(), account, region)
            sys.stderr.write(f"rds_iam: {name.decode()}: {why_not or 'let in'}\n")
            code = INVALID_CREDENTIALS if why_not else SUCCESS
            result = bytes((0x0A, 1, code, 0x04, 0, 0x04, 0))
            answer = bytes((0x02, len(number))) + number + bytes((0x61, len(result))) + result
            self.wfile.write(bytes((0x30, len(answer))) + answer)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Binding)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def refusal(name: str, token: str, account: str, region: str) -> str:
    """Return why this user is not let in with this token; nothing for one that is."""
    user = name.removeprefix(USER)
    host, _, port = token.partition("/")[0].rpartition(":")
    resource = dict(resources()).get((host, port))
    if resource is None:
        return f"{host}:{port} is no endpoint where IAM logs in"
    for session in sts._sessions.values():
        session.setdefault("Expiration", time.time() + SESSION_S)
    verified = verify_rds_iam_token(
        token, hostname=host, port=int(port), db_user=user, region=region, account_id=account
    )
    if not isinstance(verified, VerifiedRdsToken):
        return str(verified.code)
    principal = resolve_principal(verified.access_key_id, account)
    if isinstance(principal, AuthError):
        return str(principal.code)
    arn = f"arn:aws:rds-db:{region}:{account}:dbuser:{resource}/{user}"
    context = EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=account,
        action="rds-db:connect",
        resource_arn=arn,
        region=region,
        principal_keys=principal.keys,
    )
    decision = evaluate(context, principal.policies or [], *principal.limits).decision
    return "" if decision == "Allow" else f"{decision}: rds-db:connect on {arn}"


def resources() -> Iterator[tuple[tuple[str, str], str]]:
    """Yield each endpoint where IAM logs in, with the id of the resource that policies name."""
    iam = "IAMDatabaseAuthenticationEnabled"
    for each in rds._instances.values():
        if each.get(iam):
            endpoint = each["Endpoint"]
            yield (endpoint["Address"], str(endpoint["Port"])), each["DbiResourceId"]
    for each in rds._clusters.values():
        if each.get(iam):
            yield (each["Endpoint"], str(each["Port"])), each["DbClusterResourceId"]
    for each in rds._db_proxies.values():
        if each.get("DefaultAuthScheme") == "IAM_AUTH":
            yield (each["Endpoint"], "5432"), each["DBProxyArn"].rpartition(":")[2]


def element(stream: BufferedIOBase) -> tuple[int, bytes]:
    """Read one BER element: its tag and its content."""
    tag, length = stream.read(2)
    if length & 0x80:
        length = int.from_bytes(stream.read(length & 0x7F), "big")
    return tag, stream.read(length)


def elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the elements of a sequence."""
    stream = BytesIO(content)
    while stream.tell() < len(content):
        yield element(stream)
