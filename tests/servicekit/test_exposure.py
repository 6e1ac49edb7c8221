from __future__ import annotations

import logging

import pytest

from tests.security.credentials import Authority, tokens_of_every_role
from ugicm_servicekit.addresses import host_of, is_loopback, join_address
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.exposure import check_exposure, tell_exposure
from ugicm_servicekit.settings import Exposure, ServerSettings, read_settings


@pytest.fixture
def secure(tmp_path):
    files = Authority(tmp_path).issue("server")
    tokens = tokens_of_every_role(tmp_path)
    return {"tls_cert": files.cert, "tls_key": files.key, "tokens": tokens.path}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "decoder.example"])
def test_beyond_this_machine_insecurity_is_chosen_in_words(host, secure):
    check_exposure(ServerSettings(host=host, **secure))
    check_exposure(ServerSettings(host=host, insecure=Exposure.ANYONE))
    for missing, words in [
        (("tls_cert", "tls_key", "tokens"), "needs TLS and tokens"),
        (("tls_cert", "tls_key"), "needs TLS "),
        (("tokens",), "needs tokens "),
    ]:
        some = {name: path for name, path in secure.items() if name not in missing}
        with pytest.raises(BadSettings, match=words) as caught:
            check_exposure(ServerSettings(host=host, **some))
        assert "insecure = anyone-may-read-and-write" in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_on_this_machine_nothing_need_be_said(host):
    check_exposure(ServerSettings(host=host))


def test_yes_is_not_enough():
    with pytest.raises(BadSettings, match="anyone-may-read-and-write, got 'yes'"):
        read_settings(
            ServerSettings, service="decoder", arguments=["--insecure", "yes"], environment={}
        )


def test_what_was_chosen_is_said_at_the_start(secure, caplog):
    caplog.set_level(logging.INFO)
    for chosen, level, words in [
        (ServerSettings(host="0.0.0.0", insecure=Exposure.ANYONE), "WARNING", "INSECURE: "),
        (ServerSettings(), "INFO", "to this machine only"),
        (ServerSettings(host="0.0.0.0", **secure), "INFO", "with TLS and tokens"),
    ]:
        caplog.clear()
        tell_exposure(chosen, 50052)
        (record,) = caplog.records
        assert record.levelname == level
        assert words in record.getMessage()


@pytest.mark.parametrize(("host", "joined"), [("::1", "[::1]:5"), ("a.example", "a.example:5")])
def test_an_addresss_host_is_what_it_was_joined_from(host, joined):
    assert join_address(host, 5) == joined
    assert host_of(joined) == host


def test_a_name_that_only_looks_local_is_not():
    assert not any(map(is_loopback, ["", "localhost.example", "127.0.0.1.example", "0.0.0.0"]))
