"""The channel binding tls-server-end-point: a hash of the server's certificate (RFC 5929, 4)."""

from __future__ import annotations

import hashlib

# The hash is that of the certificate's signature, or SHA-256 in place of MD5 and SHA-1.
_HASH_OF_SIGNATURE = {
    "1.2.840.113549.1.1.4": "sha256",  # MD5 with RSA
    "1.2.840.113549.1.1.5": "sha256",  # SHA-1 with RSA
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.10045.4.1": "sha256",  # SHA-1 with ECDSA
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}


def certificate_hash(certificate: bytes) -> bytes | None:
    """Return the hash that binds to this certificate (DER).

    None where its signature has no hash of its own (Ed25519, RSA-PSS): there is no binding then.
    """
    try:
        name = _HASH_OF_SIGNATURE.get(_signature_algorithm(certificate))
    except (IndexError, ValueError):
        return None
    return hashlib.new(name, certificate).digest() if name else None


def _signature_algorithm(certificate: bytes) -> str:
    """Return the dotted name: Certificate ::= SEQUENCE { tbs SEQUENCE, SEQUENCE { OID … }, … }."""
    start, _ = _contents(certificate, 0)
    _, tbs_end = _contents(certificate, start)
    algorithm, _ = _contents(certificate, tbs_end)
    start, end = _contents(certificate, algorithm)
    body = certificate[start:end]
    numbers, value = [*divmod(body[0], 40)], 0
    for byte in body[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    return ".".join(map(str, numbers))


def _contents(data: bytes, at: int) -> tuple[int, int]:
    """Return where the contents of the DER element at `at` begin and end."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("an element ends behind the certificate")
    return start, start + length
