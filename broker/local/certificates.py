"""A throw-away authority and a server certificate signed by it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Certificates:
    """PEM texts: the authority's certificate, the server's certificate and its key."""

    ca: str
    certificate: str
    key: str = field(repr=False)


def issue(*names: str) -> Certificates:
    """Make an authority and a certificate of its for these host names and addresses."""
    import trustme  # late for its weight: 0.1 s, and only TLS needs it

    authority = trustme.CA()
    server = authority.issue_cert(*names)
    return Certificates(
        ca=authority.cert_pem.bytes().decode(),
        certificate="".join(blob.bytes().decode() for blob in server.cert_chain_pems),
        key=server.private_key_pem.bytes().decode(),
    )
