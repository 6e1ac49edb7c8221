"""The ``ugicm`` command against a service that wants certificates and tokens."""

from __future__ import annotations

import pytest

from tests.client.harness import run
from tests.decoder.harness import decoding
from tests.security.credentials import Authority, tokens_of_every_role
from ugicm_client.commands.work import complain
from ugicm_servicekit.access import Access


@pytest.fixture
async def secured(tmp_path):
    """Serve a decoder by TLS, with tokens; yields its address, tokens and authority."""
    authority = Authority(tmp_path)
    server = authority.issue("server")
    tokens = tokens_of_every_role(tmp_path)
    settings = {"tls_cert": server.cert, "tls_key": server.key, "tokens": tokens.path}
    async with decoding(tmp_path, access=Access(ca=authority.ca), **settings) as running:
        yield f"127.0.0.1:{running.port}", tokens, authority


async def test_a_token_file_and_an_authority_open_the_door(secured, tmp_path, capsys):
    address, tokens, authority = secured
    file = tmp_path / "operator.token"
    file.write_text(tokens.secrets["operator"])
    view = ("view", "--server", address, "--tls-ca", authority.ca)
    assert await run(*view, "--token-file", file) == 0
    assert await run(*view) == 1
    assert "UNAUTHENTICATED" in capsys.readouterr().err


async def test_the_environment_may_hold_the_token(secured, monkeypatch, capsys):
    address, tokens, authority = secured
    monkeypatch.setenv("UGICM_TOKEN", tokens.secrets["pipeline"])
    monkeypatch.setenv("UGICM_TLS_CA", str(authority.ca))
    assert await run("view", "--server", address) == 1
    errors = capsys.readouterr().err
    assert "PERMISSION_DENIED: pipeline pipeline may not call ListCameras" in errors
    assert tokens.secrets["pipeline"] not in errors


async def test_a_token_does_not_leave_the_machine_in_plaintext(monkeypatch, capsys):
    monkeypatch.setenv("UGICM_TOKEN", "secret")
    assert await run("view", "--server", "decoder.example:50052") == 1
    expected = "ugicm: a token goes to another machine by TLS only, not to decoder.example:50052\n"
    assert capsys.readouterr().err == expected


async def test_files_that_cannot_be_read_are_one_line(tmp_path, capsys):
    absent = tmp_path / "absent.pem"
    assert await run("view", "--tls-ca", absent) == 1
    assert capsys.readouterr().err == f"ugicm: cannot read {absent}: No such file or directory\n"


def test_complaints_show_no_password(capsys):
    complain(ValueError("cannot open rtsp://admin:hunter2@192.0.2.9/1"), about="source")
    assert capsys.readouterr().err == ("ugicm: source: cannot open rtsp://admin:***@192.0.2.9/1\n")
