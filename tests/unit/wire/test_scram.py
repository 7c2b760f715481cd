"""The password is proved, the server has to prove that it knows it, and neither shows it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import md5
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramMechanism

from broker.errors import AuthenticationFailed, ProtocolError
from broker.wire import messages, scram
from broker.wire.channel_binding import certificate_hash
from broker.wire.scram import MAX_ITERATIONS, MIN_ITERATIONS, PLAIN, PLUS, ScramClient
from broker.wire.startup import StartUp
from tests.unit.wire.certificates import certificate
from tests.unit.wire.peer import split

# RFC 7677, 3. There the client's first message names the user; PostgreSQL's has the name already.
NONCE = b64decode("rOprNGfwEbeRWgbNEkqO")
SALT, ITERATIONS = b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096
ON = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO" + ON + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CERTIFICATE = certificate()


def a_server(password: str = "pencil", *, plus: bool = False, certificate: bytes = CERTIFICATE):
    """Return scramp's server, which knows this password."""
    mechanism = ScramMechanism(PLUS if plus else PLAIN)
    known = mechanism.make_auth_info(password, iteration_count=ITERATIONS, salt=SALT)
    binding = ("tls-server-end-point", certificate_hash(certificate)) if plus else None
    return mechanism.make_server(lambda _: known, channel_binding=binding, s_nonce=ON.decode())


def hear(server, first: str) -> None:
    """Let scramp's server read a first message that names nobody, which it would refuse."""
    server.set_client_first(first.replace("n=,", "n=user,", 1))
    server.client_first_bare = first.split(",", 2)[2]


def exchange(client: ScramClient, server) -> None:
    """Let both talk until each has proved itself to the other."""
    hear(server, client.first.decode())
    final = client.final(server.get_server_first().encode())
    server.set_client_final(final.decode())
    client.verify(server.get_server_final().encode())


def test_the_example_of_the_rfc_is_proved_as_an_independent_server_wants_it():
    client, server = ScramClient("pencil", [PLAIN], None, NONCE), a_server()
    assert client.first == b"n,,n=,r=rOprNGfwEbeRWgbNEkqO"
    hear(server, client.first.decode())
    assert server.get_server_first().encode() == SERVER_FIRST
    final = client.final(SERVER_FIRST)
    assert final.startswith(b"c=biws,r=rOprNGfwEbeRWgbNEkqO" + ON + b",p=")
    server.set_client_final(final.decode())
    assert not client.verified
    client.verify(server.get_server_final().encode())

    assert client.verified


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1))
def test_any_password_is_proved(password):
    client = ScramClient(password, [PLAIN], None)
    exchange(client, a_server(password))

    assert client.verified


def test_with_a_certificate_the_proof_is_bound_to_it():
    client = ScramClient("pencil", [PLUS, PLAIN], CERTIFICATE)
    exchange(client, a_server(plus=True))

    assert client.mechanism == PLUS
    assert client.first.startswith(b"p=tls-server-end-point,,")
    assert client.verified


def test_a_proof_that_is_bound_to_one_certificate_is_of_no_use_with_another():
    client = ScramClient("pencil", [PLUS, PLAIN], CERTIFICATE)
    with pytest.raises(Exception, match=r"(?i)binding"):
        exchange(client, a_server(plus=True, certificate=certificate("another")))


@pytest.mark.parametrize(
    ("offered", "given_certificate", "mechanism", "flag"),
    [
        ([PLAIN], None, PLAIN, b"n,,"),
        ([PLUS, PLAIN], None, PLAIN, b"n,,"),
        ([PLAIN], CERTIFICATE, PLAIN, b"y,,"),  # a server that could bind sees that it is cut out
        ([PLUS, PLAIN], CERTIFICATE, PLUS, b"p=tls-server-end-point,,"),
        ([PLUS, PLAIN], certificate(key="ed25519"), PLAIN, b"n,,"),
    ],
)
def test_the_client_tells_whether_it_could_bind(offered, given_certificate, mechanism, flag):
    client = ScramClient("pencil", offered, given_certificate)

    assert client.mechanism == mechanism
    assert client.first.startswith(flag + b"n=,r=")


def test_a_server_that_lost_the_offer_to_bind_on_the_way_refuses():
    """Somebody in between took SCRAM-SHA-256-PLUS from the list."""
    client = ScramClient("pencil", [PLAIN], CERTIFICATE)
    with pytest.raises(Exception, match=r"(?i)binding"):
        exchange(client, a_server(plus=True))


def test_every_nonce_is_another():
    assert len({ScramClient("pencil", [PLAIN], None).first for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "server_first",
    [
        b"r=another" + ON + b",s=eA==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=eA==,i=4096",  # nothing of the server's own
        b"s=eA==,i=4096",
        SERVER_FIRST.replace(b"4096", b"4095"),
        SERVER_FIRST.replace(b"4096", b"1"),
        SERVER_FIRST.replace(b"4096", b"0"),
        SERVER_FIRST.replace(b"4096", b"-4096"),
        SERVER_FIRST.replace(b"4096", b"%d" % (MAX_ITERATIONS + 1)),
        SERVER_FIRST.replace(b"4096", b"9" * 5000),
        SERVER_FIRST.replace(b"4096", b"many"),
        SERVER_FIRST.replace(b"4096", b"4_096"),
        SERVER_FIRST.replace(b"W22Z", b"!22Z"),
        SERVER_FIRST + b"\xff",
        b"m=unknown," + SERVER_FIRST,
        b"",
        b",,,",
    ],
)
def test_a_server_that_does_not_keep_to_the_exchange_gets_no_proof(server_first):
    client = ScramClient("pencil", [PLAIN], None, NONCE)
    with pytest.raises(AuthenticationFailed):
        client.final(server_first)


def test_as_few_iterations_as_allowed_are_enough():
    assert ScramClient("p", [PLAIN], None, NONCE).final(SERVER_FIRST)
    assert MIN_ITERATIONS == ITERATIONS


def test_one_proof_is_given_and_no_other():
    """Or a server could collect proofs with salts of its choice."""
    client = ScramClient("pencil", [PLAIN], None, NONCE)
    client.final(SERVER_FIRST)
    with pytest.raises(AuthenticationFailed):
        client.final(SERVER_FIRST)


@pytest.mark.parametrize(
    "server_final", [b"", b"v=", b"v=eA==", b"e=invalid-proof", b"v=\xff", b"x", b",v="]
)
def test_a_server_that_does_not_prove_that_it_knows_the_password_is_refused(server_final):
    client = ScramClient("pencil", [PLAIN], None, NONCE)
    client.final(SERVER_FIRST)
    with pytest.raises(AuthenticationFailed):
        client.verify(server_final)

    assert not client.verified


def test_a_server_that_knows_another_password_is_refused():
    client, server = ScramClient("pencil", [PLAIN], None, NONCE), a_server("pen")
    liar = ScramClient("pen", [PLAIN], None, NONCE)
    hear(server, client.first.decode())
    client.final(server.get_server_first().encode())
    server.set_client_final(liar.final(SERVER_FIRST).decode())
    with pytest.raises(AuthenticationFailed):
        client.verify(server.get_server_final().encode())


def test_a_proof_before_the_clients_own_is_none():
    with pytest.raises(AuthenticationFailed):
        ScramClient("pencil", [PLAIN], None, NONCE).verify(b"v=" + b64encode(b""))


# As the server asks for it


def request(method: int, data: bytes = b"") -> bytes:
    return pack("!i", method) + data


def starting(password: str = "pencil") -> StartUp:
    return StartUp({"user": "user"}, password)


def begun() -> tuple[StartUp, bytes]:
    """Return a start-up that has sent its first SCRAM message, and its nonce."""
    client = starting()
    ((code, body),) = split(client.answer(request(10, b"SCRAM-SHA-256\0\0")))
    assert (code, body[:14]) == (b"p", b"SCRAM-SHA-256\0")
    assert body[14:18] == pack("!i", len(body) - 18)
    return client, body.rpartition(b"r=")[2]


def test_a_login_with_scram_is_done_when_the_server_has_proved_itself():
    client = starting()
    server = a_server()
    ((_, body),) = split(client.answer(request(10, b"SCRAM-SHA-256\0\0")))
    hear(server, body[18:].decode())
    sent = client.answer(request(11, server.get_server_first().encode()))
    server.set_client_final(split(sent)[0][1].decode())
    assert client.answer(request(12, server.get_server_final().encode())) == b""
    assert not client.done
    assert client.answer(request(0)) == b""

    assert client.done


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_server_that_lets_the_client_in_without_a_proof_is_refused(goes_on):
    client, nonce = begun()
    if goes_on:
        client.answer(request(11, b"r=" + nonce + ON + b",s=eA==,i=4096"))
    with pytest.raises(AuthenticationFailed, match="without proving"):
        client.answer(request(0))

    assert not client.done


@pytest.mark.parametrize("method", [11, 12])
def test_an_exchange_that_had_not_begun_does_not_go_on(method):
    with pytest.raises(ProtocolError):
        starting().answer(request(method, SERVER_FIRST))


def test_an_exchange_does_not_begin_twice():
    client, _ = begun()
    with pytest.raises(ProtocolError):
        client.answer(request(10, b"SCRAM-SHA-256\0\0"))


@pytest.mark.parametrize("offered", [b"", b"SCRAM-SHA-512\0\0", b"OAUTHBEARER\0\0", b"\xff\0"])
def test_a_mechanism_that_is_not_supported_is_named(offered):
    with pytest.raises(AuthenticationFailed, match="SCRAM-SHA-256"):
        starting().answer(request(10, offered))


@pytest.mark.parametrize(
    ("method", "name"), [(2, "Kerberos"), (7, "GSSAPI"), (9, "SSPI"), (99, "99")]
)
def test_a_method_that_is_not_supported_is_named(method, name):
    with pytest.raises(AuthenticationFailed, match=name):
        starting().answer(request(method))


def test_a_cleartext_password_is_sent_as_it_is():
    assert starting("påss").answer(request(3)) == messages.password("påss\0".encode())


def test_an_md5_password_is_hashed_with_the_user_and_the_salt():
    """PostgreSQL manual, 54.2.1: md5(md5(password || user) || salt)."""
    inner = md5(b"penciluser").hexdigest()
    wanted = "md5" + md5(f"{inner}salt".encode()).hexdigest() + "\0"

    assert starting("pencil").answer(request(5, b"salt")) == messages.password(wanted.encode())


@pytest.mark.parametrize("shown", [repr, str])
def test_no_password_is_shown(shown):
    assert "pencil" not in shown(starting())
    assert "pencil" not in shown(ScramClient("pencil", [PLAIN], None))
    assert "SCRAM-SHA-256" in repr(ScramClient("pencil", [PLAIN], None))


def test_the_mechanisms_are_in_order_of_preference():
    assert scram.MECHANISMS == (PLUS, PLAIN)
