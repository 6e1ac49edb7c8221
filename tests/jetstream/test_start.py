"""What keeps a decoder with a stream from starting: said at once, in one line."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from nats import connect

from tests.decoder.harness import ROOT
from tests.decoder.store_frames import frame
from tests.deploy.replicas import address
from tests.jetstream.servers import Servers, nats_servers, needs_nats
from tests.security.credentials import Authority
from ugicm_decoder.settings import DecoderSettings
from ugicm_decoder.store import JetStreamFrameStore, PutOutcome
from ugicm_servicekit.errors import BadSettings, Unreachable
from ugicm_servicekit.jetstream import NatsSettings

AUTHORIZATION = "authorization {{ token: {} }}\n"
TLS = 'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true }}\n'


def test_servers_that_nobody_runs_end_the_start_with_1_and_one_line() -> None:
    flags = ("--port=0", f"--nats=nats://{address(29)}:4222", "--nats-start-seconds=2")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.decoder.fake_service", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"decoder: no NATS server lets us in at nats://{address(29)}:4222 ")
    assert "Connect call failed" in last


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"nats": ("http://here:4222",)}, "nats://HOST:PORT"),
        ({"nats": ("nats://me:hush@here",)}, "--nats-token-file"),
        ({"nats_stream": "a.b"}, "--nats-stream"),
        ({"nats_tls_cert": Path("cert.pem")}, "go together"),
        ({"nats_tls_ca": Path("missing.pem")}, "cannot be used"),
        ({"nats_token_file": Path("missing")}, "--nats-token-file"),
    ],
)
async def test_settings_that_cannot_be_are_refused(wrong: dict[str, object], said: str) -> None:
    settings = replace(NatsSettings(nats=("nats://127.0.0.1:1",)), **wrong)
    with pytest.raises(BadSettings, match=said) as refused:
        await JetStreamFrameStore.open(settings)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nats": ("nats://h:1",), "max_store_bytes": 2**20},
        {"nats": ("nats://h:1",), "retention_camera_bytes": 2**20},
        {"nats_max_bytes": 2**20},
    ],
)
def test_limits_of_the_other_kind_of_store_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSettings, match="-bytes"):
        DecoderSettings(**wrong).check_store()


@needs_nats
async def test_certificates_from_files_let_a_decoder_in_and_wrong_ones_do_not(
    tmp_path: Path,
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    server = authority.issue("server", address(25))
    ours, theirs = authority.issue("decoder"), stranger.issue("other")
    extra = TLS.format(cert=server.cert, key=server.key, ca=authority.ca)
    with nats_servers(tmp_path, 25, extra=extra) as servers:
        settings = NatsSettings(
            nats=servers.addresses,
            nats_tls_ca=authority.ca,
            nats_tls_cert=ours.cert,
            nats_tls_key=ours.key,
        )
        store = await JetStreamFrameStore.open(settings)
        assert await store.put(frame()) is PutOutcome.STORED
        await store.close()
        hasty = replace(settings, nats_start_seconds=2)
        with pytest.raises(Unreachable, match=r"(?i)certificate verify failed"):
            await JetStreamFrameStore.open(replace(hasty, nats_tls_ca=stranger.ca))
        shown = replace(hasty, nats_tls_cert=theirs.cert, nats_tls_key=theirs.key)
        with pytest.raises(Unreachable, match="no NATS server lets us in"):
            await JetStreamFrameStore.open(shown)


@needs_nats
async def test_more_replicas_than_there_are_servers_are_refused(
    nats_settings: NatsSettings,
) -> None:
    with pytest.raises(Unreachable, match="replicas > 1 not supported"):
        await JetStreamFrameStore.open(replace(nats_settings, nats_replicas=3))


@needs_nats
async def test_a_stream_of_somebody_else_is_left_alone(
    nats_settings: NatsSettings, nats: Servers
) -> None:
    connection = await connect(list(nats.addresses))
    jetstream = connection.jetstream()
    await jetstream.add_stream(name=nats_settings.nats_stream, subjects=["recipes.>"])
    with pytest.raises(Unreachable, match="somebody else's"):
        await JetStreamFrameStore.open(nats_settings)
    assert (await jetstream.stream_info(nats_settings.nats_stream)).config.subjects == ["recipes.>"]
    await connection.close()


@needs_nats
async def test_a_token_from_a_file_lets_a_decoder_in(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame\n")
    with nats_servers(tmp_path, 26, extra=AUTHORIZATION.format("open-sesame")) as servers:
        settings = NatsSettings(nats=servers.addresses, nats_token_file=token)
        await (await JetStreamFrameStore.open(settings)).close()
        token.write_text("wrong")
        with pytest.raises(Unreachable, match=r"(?i)authorization"):
            await JetStreamFrameStore.open(replace(settings, nats_start_seconds=2))


@needs_nats
async def test_servers_that_come_back_with_another_token_are_shown_the_newest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame")
    with nats_servers(tmp_path, 28, extra=AUTHORIZATION.format("open-sesame")) as servers:
        settings = NatsSettings(nats=servers.addresses, nats_token_file=token)
        store = await JetStreamFrameStore.open(settings)
        servers.kill(28)
        token.write_text("other")
        servers.reconfigure(28, AUTHORIZATION.format("other"))
        servers.start(28)
        assert await store.put(frame()) is PutOutcome.STORED
        # Where its file cannot be read, the last one is shown.
        servers.kill(28)
        token.unlink()
        servers.start(28)
        assert await store.put(frame(sequence=1)) is PutOutcome.STORED
        await store.close()
    assert "cannot read the token for NATS again" in caplog.text


@needs_nats
def test_a_decoder_that_the_servers_lock_out_ends_with_1_and_one_line(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame")
    with nats_servers(tmp_path, 30, extra=AUTHORIZATION.format("open-sesame")) as servers:
        flags = ("--port=0", f"--nats={servers.addresses[0]}", f"--nats-token-file={token}")
        with subprocess.Popen(
            [sys.executable, "-m", "tests.decoder.fake_service", *flags],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as decoder:
            try:
                assert decoder.stderr is not None
                assert any("ready" in line for line in decoder.stderr)
                servers.reconfigure(30, AUTHORIZATION.format("other"))
                said = decoder.communicate(timeout=60)[1].splitlines()
            finally:
                decoder.kill()
    assert decoder.returncode == 1
    assert said[-1].startswith("decoder: NATS lets us in no longer")
    assert "authorization" in said[-1].lower()
