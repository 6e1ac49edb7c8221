from __future__ import annotations

import hmac
import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.security.credentials import Tokens, tokens_of_every_role
from ugicm_servicekit.errors import BadSettings, Unauthenticated
from ugicm_servicekit.roles import Role
from ugicm_servicekit.tokens import TokenFile, entry_of, hash_token, new_token, read_tokens

NOW = datetime(2027, 1, 1, tzinfo=UTC)
HASH = "ab" * 32


@pytest.fixture
def tokens(tmp_path):
    return tokens_of_every_role(tmp_path)


def test_each_token_is_known_as_whom_it_names(tokens):
    file = TokenFile(tokens.path)
    for role in Role:
        caller = file.identify(tokens.secrets[role.value]).caller
        assert (caller.name, caller.role) == (role.value, role)
    assert file.identify(tokens.secrets["camera"]).caller.cameras == {"gate"}


def test_tokens_have_256_bits_and_are_never_the_same():
    some = {new_token() for _ in range(100)}
    assert len(some) == 100
    assert all(len(token) == len("ugicm_") + 43 for token in some)


def test_the_file_holds_hashes_and_no_token(tokens):
    text = tokens.path.read_text()
    for secret in tokens.secrets.values():
        assert secret not in text
        assert hash_token(secret).hex() in text


@pytest.mark.parametrize("presented", ["", "ugicm_", "ugicm_" + "A" * 43, "\x00", "é" * 10])
def test_what_is_no_token_of_the_file_is_refused(tokens, presented):
    with pytest.raises(Unauthenticated, match="not known"):
        TokenFile(tokens.path).identify(presented)


def test_every_hash_is_compared_whole_wherever_the_match_is(tokens, monkeypatch):
    compared = []

    def compare(left, right):
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    file = TokenFile(tokens.path)
    for secret in (tokens.secrets["camera"], tokens.secrets["admin"]):
        compared.clear()
        file.identify(secret)
        assert len(compared) == len(Role)


def test_a_token_ends_when_it_expires(tmp_path):
    tokens = Tokens(tmp_path / "tokens.toml")
    secret = tokens.add(Role.OPERATOR, "night", expires=NOW)
    now = [NOW - timedelta(seconds=1)]
    file = TokenFile(tokens.path, now=lambda: now[0])
    token = file.identify(secret)
    file.check(token)
    now[0] = NOW
    for refused in (lambda: file.identify(secret), lambda: file.check(token)):
        with pytest.raises(Unauthenticated, match=r"night expired at 2027-01-01T00:00:00\+00:00"):
            refused()


def test_a_change_counts_at_the_next_call(tokens):
    file = TokenFile(tokens.path)
    withdrawn = file.identify(tokens.secrets["operator"])
    tokens.path.write_text("")
    with pytest.raises(Unauthenticated, match="not known"):
        file.identify(tokens.secrets["operator"])
    with pytest.raises(Unauthenticated, match="the token of operator was withdrawn"):
        file.check(withdrawn)
    fresh = tokens.add(Role.OPERATOR)
    assert file.identify(fresh).caller.role is Role.OPERATOR


def test_a_token_withdrawn_during_a_reload_stays_withdrawn(tokens):
    file = TokenFile(tokens.path)
    use = file.read()
    tokens.path.write_text("")
    with pytest.raises(Unauthenticated, match="not known"):
        file.identify(tokens.secrets["operator"])
    changes = use()  # of what was read before
    with pytest.raises(Unauthenticated, match="not known"):
        file.identify(tokens.secrets["operator"])
    assert {change.after for change in changes} == {""}
    assert {change.name for change in changes} == {role.value for role in Role}
    assert file.read()() == []


def test_a_file_swapped_by_a_link_is_a_change(tmp_path):
    old, new = Tokens(tmp_path / "old"), Tokens(tmp_path / "new")
    secrets = old.add(Role.ADMIN), new.add(Role.ADMIN)
    link = tmp_path / "link"
    link.symlink_to(old.path)
    file = TokenFile(link)
    file.identify(secrets[0])
    (tmp_path / "next").symlink_to(new.path)
    os.replace(tmp_path / "next", link)  # noqa: PTH105 - Path.replace would say the same
    file.identify(secrets[1])


@pytest.mark.parametrize("text", ["[[token", "[[token]]\nname = 5\n", None])
def test_a_change_that_cannot_be_read_leaves_what_was_known(tokens, text, caplog):
    file = TokenFile(tokens.path)
    if text is None:
        tokens.path.unlink()
    else:
        tokens.path.write_text(text)
    assert file.identify(tokens.secrets["admin"])
    assert file.identify(tokens.secrets["admin"])
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("the tokens known before stay: ")


def test_an_old_and_a_new_token_of_one_caller_may_overlap(tmp_path):
    tokens = Tokens(tmp_path / "tokens.toml")
    secrets = tokens.add(Role.CAMERA, "gate"), tokens.add(Role.CAMERA, "gate")
    file = TokenFile(tokens.path)
    assert {file.identify(secret).caller.name for secret in secrets} == {"gate"}


def test_what_is_written_is_what_is_read(tmp_path):
    tokens = Tokens(tmp_path / "tokens.toml")
    tokens.add(Role.ENCODER, "north", expires=NOW)
    (token,) = read_tokens(tokens.path)
    assert entry_of(token) == tokens.path.read_text()
    assert (token.expires, token.caller.cameras) == (NOW, {"gate", "yard"})


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (f'role = "admin"\nsha256 = "{HASH}"', "token 1: name is a text, got None"),
        (f'name = "a b"\nrole = "admin"\nsha256 = "{HASH}"', "got 'a b'"),
        ('name = "a"\nrole = "admin"\nsha256 = "ab"', "sha256 is 64 lower-case hexadecimal"),
        (f'name = "a"\nrole = "root"\nsha256 = "{HASH}"', "role is one of camera, encoder"),
        (f'name = "a"\nrole = "camera"\nsha256 = "{HASH}"', "camera lists exactly one camera"),
        (f'name = "a"\nrole = "encoder"\nsha256 = "{HASH}"', "lists at least one camera, got"),
        (
            f'name = "a"\nrole = "operator"\ncameras = ["x"]\nsha256 = "{HASH}"',
            "operator lists no cameras",
        ),
        (
            f'name = "a"\nrole = "encoder"\ncameras = ["a b"]\nsha256 = "{HASH}"',
            "a camera's name has 1 to 128",
        ),
        (
            f'name = "a"\nrole = "encoder"\ncameras = "gate"\nsha256 = "{HASH}"',
            "cameras is a list of names",
        ),
        (
            f'name = "a"\nrole = "admin"\nexpires = 2027-01-01\nsha256 = "{HASH}"',
            "expires is a time with its offset",
        ),
        (
            f'name = "a"\nrole = "admin"\nexpires = 2027-01-01T00:00:00\nsha256 = "{HASH}"',
            "expires is a time with its offset",
        ),
        (f'name = "a"\nrole = "admin"\nsha256 = "{HASH}"\ntoken = "x"', "token is not a field"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, entry, problem):
    path = tmp_path / "tokens.toml"
    path.write_text(f"[[token]]\n{entry}\n")
    with pytest.raises(BadSettings, match=problem) as caught:
        read_tokens(path)
    assert str(caught.value).startswith(str(path))


def test_every_problem_is_named_at_once(tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(
        "answer = 42\n"
        + 2 * f'[[token]]\nname = "a"\nrole = "admin"\nsha256 = "{HASH}"\n'
        + "[[token]]\n"
    )
    with pytest.raises(BadSettings) as caught:
        read_tokens(path)
    assert len(caught.value.problems) == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadSettings, match=r"cannot read .*: No such file"):
        TokenFile(tmp_path / "absent")
