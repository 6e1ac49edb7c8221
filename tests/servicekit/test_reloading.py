"""Models, tokens and certificates are read anew together, or all stay as they were."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import ssl

import grpc
import pytest

from tests.client.harness import run
from tests.encoder.harness import encoding
from tests.fake_codec import FakeCodec, FakeModel
from tests.security.credentials import Authority, tokens_of_every_role
from ugicm.v1 import admin_pb2, types_pb2
from ugicm.v1.admin_pb2_grpc import AdminServiceStub
from ugicm_codec.errors import BadModelFile
from ugicm_servicekit.access import Access
from ugicm_servicekit.channel import open_channel
from ugicm_servicekit.models import Models, ReloadableModels
from ugicm_servicekit.roles import Role
from ugicm_servicekit.tls import CertificateFiles, KeyPair

OLD, NEW = (FakeCodec(FakeModel(sha256=digit * 64)) for digit in "ab")
REQUEST = admin_pb2.ReloadRequest()


def withdraw(tokens, role):
    entries = tokens.path.read_text().split("[[token]]")
    kept = [entry for entry in entries if f'role = "{role}"' not in entry]
    tokens.path.write_text("[[token]]".join(kept))


@pytest.fixture
def tokens(tmp_path):
    return tokens_of_every_role(tmp_path)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


async def reload(running, access):
    async with open_channel(f"127.0.0.1:{running.port}", access=access) as channel:
        return (await AdminServiceStub(channel).Reload(REQUEST)).changes


async def test_an_admin_is_told_of_models_tokens_and_certificates_that_changed(tokens, authority):
    pair = authority.issue("server")
    settings = {"tls_cert": pair.cert, "tls_key": pair.key, "tokens": tokens.path}
    access = Access(ca=authority.ca, token=tokens.secrets["admin"])
    async with encoding(OLD, **settings) as running:
        running.server.reloader.add(ReloadableModels(running.models, lambda: Models([NEW])))
        withdraw(tokens, "pipeline")
        tokens.add(Role.ENCODER, "north", cameras={"yard", "gate"})
        authority.replace(pair)
        certificate, *others = await reload(running, access)
        assert (certificate.kind, certificate.name) == (
            admin_pb2.RELOAD_KIND_CERTIFICATE,
            str(pair.cert),
        )
        assert len(certificate.before) == len(certificate.after) == 64
        assert certificate.before != certificate.after
        assert [(one.kind, one.name, one.before, one.after) for one in others] == [
            (admin_pb2.RELOAD_KIND_TOKEN, "pipeline", "pipeline", ""),
            (admin_pb2.RELOAD_KIND_TOKEN, "north", "", "encoder gate yard"),
            (admin_pb2.RELOAD_KIND_MODEL, "fake", "a" * 64, "b" * 64),
        ]
        assert [info.sha256 for info in running.models.infos] == ["b" * 64]
        assert list(await reload(running, access)) == []


def unusable_model(running, tokens, pair):
    def load():
        raise BadModelFile("no model in it")

    running.server.reloader.add(ReloadableModels(running.models, load))
    return "no model in it"


def unusable_tokens(running, tokens, pair):
    tokens.path.write_text(tokens.path.read_text() + "[[token]]\n")
    return "name is a text, got None"


def unusable_certificate(running, tokens, pair):
    pair.cert.write_text("nothing")
    return "cannot use"


@pytest.mark.parametrize("spoil", [unusable_model, unusable_tokens, unusable_certificate])
async def test_where_one_of_them_cannot_be_used_all_stay(tokens, authority, spoil, caplog):
    pair = authority.issue("server")
    settings = {"tls_cert": pair.cert, "tls_key": pair.key, "tokens": tokens.path}
    access = Access(ca=authority.ca, token=tokens.secrets["admin"])
    async with encoding(OLD, **settings) as running:
        loaded = iter([Models([NEW])] * 2)
        running.server.reloader.add(ReloadableModels(running.models, lambda: next(loaded)))
        reason = spoil(running, tokens, pair)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(running, access)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "what was loaded before stays: " in caught.value.details()
        assert reason in caught.value.details()
        assert [info.sha256 for info in running.models.infos] == ["a" * 64]
    assert reason in caplog.text


@pytest.mark.parametrize("role", [role.value for role in Role if role is not Role.ADMIN])
async def test_nobody_else_may_reload_and_who_tries_is_written_down(tokens, role, caplog):
    async with encoding(OLD, tokens=tokens.path) as running:
        running.server.reloader.add(ReloadableModels(running.models, lambda: Models([NEW])))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reload(running, tokens.access(role))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert [info.sha256 for info in running.models.infos] == ["a" * 64]
    lines = [one.getMessage() for one in caplog.records if one.name == "ugicm.audit"]
    assert any(f"AdminService/Reload caller={role}" in line for line in lines)


async def test_who_reloaded_is_written_down(tokens, caplog):
    caplog.set_level(logging.INFO)
    async with encoding(OLD, tokens=tokens.path) as running:
        await reload(running, tokens.access("admin"))
    lines = [one.getMessage() for one in caplog.records if one.name == "ugicm.audit"]
    assert any(line.startswith("reload: caller=admin peer=ipv4:127.0.0.1:") for line in lines)


async def test_the_command_prints_what_changed(tokens, capsys, monkeypatch):
    monkeypatch.setenv("UGICM_TOKEN", tokens.secrets["admin"])
    async with encoding(OLD, tokens=tokens.path) as running:
        running.server.reloader.add(ReloadableModels(running.models, lambda: Models([NEW])))
        address = f"127.0.0.1:{running.port}"
        assert await run("reload", address) == 0
        assert await run("reload", address) == 0
        withdraw(tokens, "camera")
        assert await run("reload", address, "--json") == 0
        assert await run("reload", "127.0.0.1:1", address) == 1
        assert await run("reload", "nowhere") == 2
        assert await run("reload", f"dns:///{address}") == 2  # which would reload any one replica
    output = capsys.readouterr()
    first, second, third, last = output.out.splitlines()
    assert first == f"{address}: model fake: {'a' * 64} -> {'b' * 64}"
    assert second == last == f"{address}: nothing changed"
    changes = [{"kind": "token", "name": "camera", "before": "camera gate", "after": ""}]
    assert json.loads(third) == {"address": address, "changes": changes}
    assert "ugicm: 127.0.0.1:1: cannot reach the service at 127.0.0.1:1" in output.err


def test_an_authority_that_is_added_behind_another_is_a_change(authority, tmp_path):
    pair, second = authority.issue("server"), Authority(tmp_path, "second")
    files = CertificateFiles(KeyPair(pair.cert, pair.key), authority.ca)
    alone = fingerprint(authority.ca)
    with authority.ca.open("ab") as file:
        file.write(second.ca.read_bytes())
    (change,) = files.read()()
    assert (change.name, change.before) == (str(authority.ca), alone)
    assert change.after not in {alone, fingerprint(second.ca)}
    assert files.read()() == []


def fingerprint(pem):
    """Return what OpenSSL would print of a file with one certificate."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.read_text())).hexdigest()


async def test_of_reloads_at_once_one_tells_of_each_change():
    async with encoding(OLD) as running:
        running.server.reloader.add(ReloadableModels(running.models, lambda: Models([NEW])))
        changed = await asyncio.gather(*(reload(running, Access()) for _ in range(5)))
        listed = await running.stub.ListModels(types_pb2.ListModelsRequest())
    assert sorted(map(len, changed)) == [0, 0, 0, 0, 1]
    assert [model.sha256 for model in listed.models] == ["b" * 64]
