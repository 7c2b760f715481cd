"""The hash that binds a login to the server's certificate (RFC 5929, 4)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scramp.core import CBindData

from broker.wire.channel_binding import certificate_hash
from tests.unit.wire.certificates import certificate

KINDS = [(key, digest) for key in ("rsa", "ecdsa") for digest in ("sha256", "sha384", "sha512")]


@pytest.mark.parametrize(("key", "digest"), KINDS)
def test_it_is_the_hash_that_the_certificate_is_signed_with(key, digest):
    made = certificate(key=key, digest=digest)

    assert certificate_hash(made) == hashlib.new(digest, made).digest()
    assert certificate_hash(made) == bytes(CBindData.from_der(made))


@pytest.mark.parametrize("key", ["ed25519", "rsa-pss"])
def test_a_signature_without_a_hash_of_its_own_binds_nothing(key):
    assert certificate_hash(certificate(key=key)) is None


# The name of SHA-256 with RSA, in place of it: other names that RSA's signatures have.
@pytest.mark.parametrize(
    ("last", "digest"), [(4, "sha256"), (5, "sha256"), (11, "sha256"), (14, None), (99, None)]
)
def test_md5_and_sha1_are_replaced_by_sha256(last, digest):
    oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
    made = certificate(key="rsa").replace(oid + b"\x0b", oid + bytes([last]))

    assert certificate_hash(made) == (digest and hashlib.new(digest, made).digest())


@pytest.mark.parametrize("key", ["rsa", "ecdsa"])
def test_a_certificate_that_is_cut_off_binds_nothing(key):
    made = certificate(key=key)
    for end in range(len(made)):
        assert certificate_hash(made[:end]) is None


@given(st.binary(max_size=60))
def test_whatever_it_is_it_has_a_hash_or_none(data):
    assert certificate_hash(data) is None or len(data) > 9
