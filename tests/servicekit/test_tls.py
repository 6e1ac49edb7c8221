from __future__ import annotations

from contextlib import asynccontextmanager

import grpc
import pytest

from tests.security.credentials import Authority
from tests.servicekit.harness import encoding, request
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import connect, open_channel
from ugicm_servicekit.errors import BadSettings, Unreachable
from ugicm_servicekit.metrics import REGISTRY
from ugicm_servicekit.server import Server
from ugicm_servicekit.settings import ServerSettings, Transport
from ugicm_servicekit.status import STATUS


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def server(authority):
    return authority.issue("server")


@pytest.fixture
def client(authority):
    return authority.issue("client", "camera.example")


def settings(files, ca=None, **others):
    return ServerSettings(tls_cert=files.cert, tls_key=files.key, tls_ca=ca, **others)


def showing(authority, files):
    return Access(ca=authority.ca, cert=files.cert, key=files.key)


@asynccontextmanager
async def served(chosen, access):
    async with encoding(settings=chosen, access=access) as running:
        yield running


async def answers(port, access):
    """Tell whether a new connection gets an answer."""
    try:
        async with connect(f"127.0.0.1:{port}", access=access) as channel:
            encode = channel.unary_unary("/ugicm.v1.EncoderService/Encode")
            await encode(request().SerializeToString())
    except Unreachable:
        return False
    return True


def handshakes():
    return REGISTRY.get_sample_value("ugicm_tls_handshakes_total")


async def test_calls_travel_by_tls(authority, server):
    async with served(settings(server), Access(ca=authority.ca)) as running:
        assert (await running.stub.Encode(request(b"picture"))).stream == b"picture"
        assert not await answers(running.port, Access())
        assert not await answers(running.port, Access(transport=Transport.TLS))


async def test_a_server_of_another_name_is_not_trusted(authority):
    elsewhere = authority.issue("elsewhere", "decoder.example")
    access = Access(ca=authority.ca)
    with pytest.raises(Unreachable):
        async with served(settings(elsewhere), access):
            pytest.fail("the certificate names another host")


async def test_mutual_tls_lets_in_its_own_clients_only(authority, server, client, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    foreign = other.issue("client", "camera.example")
    mine = showing(authority, client)
    async with served(settings(server, authority.ca), mine) as running:
        await running.stub.Encode(request())
        assert not await answers(running.port, Access(ca=authority.ca))
        before = handshakes()
        assert not await answers(running.port, showing(authority, foreign))
        assert handshakes() > before
        assert await answers(running.port, mine)


async def test_a_new_certificate_counts_for_the_next_connection(authority, server, tmp_path):
    (tmp_path / "next").mkdir()
    next_authority = Authority(tmp_path / "next")
    old, new = Access(ca=authority.ca), Access(ca=next_authority.ca)
    async with served(settings(server), old) as running:
        assert not await answers(running.port, new)
        next_authority.replace(server)
        assert await answers(running.port, new)
        assert not await answers(running.port, old)
        # What is connected stays so.
        await running.stub.Encode(request())


async def test_a_new_authority_of_clients_counts_for_the_next_connection(
    authority, server, client, tmp_path
):
    (tmp_path / "next").mkdir()
    next_authority = Authority(tmp_path / "next")
    theirs = next_authority.issue("client", "camera.example")
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.ca.read_bytes())
    async with served(settings(server, clients), showing(authority, client)) as running:
        assert not await answers(running.port, showing(authority, theirs))
        clients.write_bytes(next_authority.ca.read_bytes())
        assert await answers(running.port, showing(authority, theirs))
        assert not await answers(running.port, showing(authority, client))


async def test_a_certificate_without_its_key_leaves_the_old_pair_in_use(
    authority, server, tmp_path, caplog
):
    (tmp_path / "next").mkdir()
    stray = Authority(tmp_path / "next").issue("stray")
    async with served(settings(server), Access(ca=authority.ca)) as running:
        server.cert.write_bytes(stray.cert.read_bytes())
        assert await answers(running.port, Access(ca=authority.ca))
    assert "the certificates read before stay: cannot use" in caplog.text


async def test_a_channel_shows_its_new_certificate_without_being_opened_again(
    authority, server, client, tmp_path
):
    (tmp_path / "next").mkdir()
    next_authority = Authority(tmp_path / "next")
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.ca.read_bytes())
    async with served(settings(server, clients), showing(authority, client)) as running:
        await running.stub.Encode(request())
        clients.write_bytes(next_authority.ca.read_bytes())
        next_authority.replace(client, "camera.example")
        assert (await running.stub.Encode(request(b"still in"))).stream == b"still in"


async def test_a_stream_goes_on_while_its_channel_takes_a_new_certificate(
    authority, server, client
):
    async with served(settings(server, authority.ca), showing(authority, client)) as running:
        call = running.stub.EncodeStream()
        authority.replace(client, "camera.example")
        await running.stub.Encode(request())
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


def wrong(tmp_path, server):
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    yield settings(server, tmp_path / "absent.pem"), "cannot read .*absent.pem: No such file"
    yield settings(server, broken), "broken.pem holds no certificates"
    yield ServerSettings(tls_cert=broken, tls_key=server.key), "cannot use .*broken.pem with"
    yield ServerSettings(tls_cert=server.cert), "tls_cert and tls_key go together"
    yield ServerSettings(tls_ca=server.cert), "tls_ca needs tls_cert and tls_key"


def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path, server):
    for chosen, problem in wrong(tmp_path, server):
        with pytest.raises(BadSettings, match=problem) as caught:
            Server(chosen, STATUS, services=[])
        assert "\n" not in str(caught.value)


async def test_a_channels_wrong_files_are_named_when_it_is_opened(tmp_path, authority, client):
    for access, problem in [
        (Access(ca=tmp_path / "absent"), "cannot read .*absent"),
        (Access(ca=authority.ca, cert=client.cert), "a certificate and its key go together"),
        (Access(token_file=tmp_path / "absent"), "cannot read .*absent"),
    ]:
        with pytest.raises(BadSettings, match=problem):
            open_channel("127.0.0.1:1", access=access)


@pytest.mark.parametrize("content", ["", " \n", "two words", "\xff"])
async def test_a_file_without_a_token_is_named(tmp_path, content):
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(BadSettings, match="holds no token"):
        open_channel("127.0.0.1:1", access=Access(token_file=file))


@pytest.mark.parametrize("host", ["192.0.2.1", "decoder.example", "[2001:db8::1]"])
async def test_a_token_is_not_sent_to_another_machine_in_plaintext(host):
    with pytest.raises(BadSettings, match="by TLS only"):
        open_channel(f"{host}:50052", access=Access(token="secret"))
    for local in ("127.0.0.1", "localhost", "[::1]"):
        await open_channel(f"{local}:50052", access=Access(token="secret")).close()
