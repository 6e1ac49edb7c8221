from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.client.harness import run
from ugicm_client.commands.token import _ROLES
from ugicm_servicekit.redaction import redact
from ugicm_servicekit.roles import Role
from ugicm_servicekit.tokens import TokenFile, read_tokens


def test_the_command_knows_every_role():
    assert list(_ROLES) == [role.value for role in Role]


@pytest.mark.parametrize(
    ("arguments", "name", "cameras"),
    [
        (("camera", "--camera", "gate"), "gate", {"gate"}),
        (("encoder", "--name", "n", "--camera", "gate", "--camera", "yard"), "n", {"gate", "yard"}),
        (("operator", "--name", "night"), "night", set()),
    ],
)
async def test_the_printed_entry_makes_the_printed_token_known(
    arguments, name, cameras, tmp_path, capsys
):
    assert await run("token", "new", "--json", "--role", *arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    path = tmp_path / "tokens.toml"
    path.write_text(printed["entry"])
    caller = TokenFile(path).identify(printed["token"]).caller
    assert (caller.name, caller.role, caller.cameras) == (name, Role(arguments[0]), cameras)
    assert printed["token"] not in printed["entry"]


async def test_for_people_the_token_and_its_entry_stand_apart(capsys, tmp_path):
    assert await run("token", "new", "--role", "camera", "--camera", "gate") == 0
    _, secret, _, entry = capsys.readouterr().out.split("\n\n")
    assert redact(secret) == "ugicm_***"
    path = tmp_path / "tokens.toml"
    path.write_text(entry)
    assert TokenFile(path).identify(secret)


async def test_days_say_when_it_expires(capsys, tmp_path):
    await run("token", "new", "--role", "admin", "--name", "a", "--days", "90", "--json")
    path = tmp_path / "tokens.toml"
    path.write_text(json.loads(capsys.readouterr().out)["entry"])
    (token,) = read_tokens(path)
    assert abs(token.expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("camera",), "a token of role camera needs a --name"),
        (("camera", "--camera", "a", "--camera", "b", "--name", "a"), "exactly one camera"),
        (("encoder", "--name", "a"), "at least one camera"),
        (("operator", "--name", "a", "--camera", "gate"), "no cameras"),
        (("operator", "--name", "a b"), "got 'a b'"),
        (("camera", "--camera", "a b"), "got 'a b'"),
        (("root", "--name", "a"), "'root' is not one of"),
    ],
)
async def test_what_no_server_would_read_is_bad_usage(arguments, problem, capsys):
    assert await run("token", "new", "--role", *arguments) == 2
    captured = capsys.readouterr()
    assert problem in captured.err
    assert captured.out == ""
