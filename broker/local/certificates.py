"""A throw-away authority and a server certificate signed by it, made with the openssl command."""

from __future__ import annotations

import ipaddress
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from broker.local.process import ServerError

DAYS = "30"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
# All that VERIFY_X509_STRICT, Python 3.13's default, asks for. LibreSSL (macOS) takes it too.
CONFIG = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


@dataclass(frozen=True)
class Certificates:
    """PEM texts: the authority's certificate, the server's certificate and its key."""

    ca: str
    certificate: str
    key: str = field(repr=False)


def issue(*names: str) -> Certificates:
    """Make an authority and a certificate of its for these host names and addresses."""
    with tempfile.TemporaryDirectory(prefix="broker-certificates-") as folder:
        work = Path(folder)
        config = work / "openssl.cnf"
        config.write_text(CONFIG.format(names=", ".join(map(alternative_name, names))))
        openssl = _Openssl(work)
        openssl(
            *("req", "-x509", *NEW_KEY, "-config", "openssl.cnf", "-extensions", "authority"),
            *("-subj", "/CN=broker local authority", "-days", DAYS),
            *("-keyout", "ca.key", "-out", "ca.pem"),
        )
        openssl(
            *("req", "-new", *NEW_KEY, "-config", "openssl.cnf", "-subj", f"/CN={names[0]}"),
            *("-keyout", "server.key", "-out", "server.csr"),
        )
        openssl(
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-extfile", "openssl.cnf", "-extensions", "server"),
            *("-days", DAYS, "-out", "server.pem"),
        )
        return Certificates(
            ca=(work / "ca.pem").read_text(),
            certificate=(work / "server.pem").read_text(),
            key=(work / "server.key").read_text(),
        )


def alternative_name(name: str) -> str:
    """Return openssl's way to write a host name or an address in subjectAltName."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return f"DNS:{name}"
    return f"IP:{name}"


@dataclass(frozen=True)
class _Openssl:
    folder: Path

    def __call__(self, *arguments: str) -> None:
        try:
            done = subprocess.run(
                ["openssl", *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise ServerError("the openssl command is missing: install openssl") from error
        if done.returncode:
            raise ServerError(f"openssl {arguments[0]} failed:\n{done.stderr}")
