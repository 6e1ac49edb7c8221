"""The images and docker-compose.yml with a real engine; of processes: test_processes.py."""

from __future__ import annotations

import asyncio
import json

import pytest
from docker.errors import ContainerError

from tests.images.composition import SETTINGS
from tests.images.engine import build, compose_command, engine, pull, up
from tests.images.scenario import no_frame_is_lost_when_the_decoder_is_killed, the_demo_passes
from tests.images.test_dockerfiles import HEAVY
from ugicm_client.operator import OperatorClient

# The first build fetches PyTorch.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

INSIDE = """
import json, os, re, sys
from importlib.metadata import distributions
from numba.core.registry import CPUDispatcher
from ugicm_codec import Codec

try:
    open("/opt/ugicm/file", "w")
    writable = True
except OSError:
    writable = False
Codec.load()
compiled = {
    id(one): one.stats
    for name, module in list(sys.modules.items()) if name.startswith("ugicm_codec")
    for one in vars(module).values() if isinstance(one, CPUDispatcher)
}.values()
print(json.dumps({
    "uid": os.getuid(),
    "writable": writable,
    "distributions": sorted({re.sub("[-_.]+", "-", d.name).lower() for d in distributions()}),
    "from_cache": sum(sum(stats.cache_hits.values()) for stats in compiled),
    "compiled_anew": sum(sum(stats.cache_misses.values()) for stats in compiled),
}))
"""


@pytest.fixture(scope="module")
def client():
    found, why = engine()
    if found is None:
        pytest.skip(why)
    yield found
    found.close()


@pytest.fixture(scope="module")
def images(client):
    return build(client)


@pytest.mark.parametrize("name", [*SETTINGS, "camera"])
def test_an_image_has_what_it_needs_compiled_and_nothing_of_a_gpu(client, images, name):
    output = client.containers.run(
        images[name].id,
        entrypoint=["python", "-c", INSIDE],
        read_only=True,
        network_mode="none",
        remove=True,
    )
    found = json.loads(output.splitlines()[-1])
    own = {one for one in found["distributions"] if one.startswith("ugicm-")}
    size = images[name].attrs["Size"]
    print(f"{name}: {size / 1e6:.0f} MB, {len(found['distributions'])} packages, ours: {own}")
    assert found["uid"] == 10001
    assert not found["writable"]
    assert found["from_cache"] > 0
    assert found["compiled_anew"] == 0
    others = set(found["distributions"])
    assert not [one for one in others if one.startswith(("nvidia-", "cuda-", "triton"))]
    if name != "analytics":
        assert not others & HEAVY


@pytest.mark.parametrize("name", ["encoder", "decoder", "analytics"])
def test_without_its_volume_a_service_ends_with_one_line(client, images, name):
    settings = {
        "encoder": ["--upstream=decoder:50052", "--spool=/var/lib/ugicm/spool"],
        "decoder": ["--store=/var/lib/ugicm/frames.sqlite"],
        "analytics": ["--results=/var/lib/ugicm/results.sqlite"],
    }
    with pytest.raises(ContainerError) as caught:
        client.containers.run(
            images[name].id,
            ["--host=127.0.0.1", *settings[name]],
            read_only=True,
            network_mode="none",
            remove=True,
        )
    assert caught.value.exit_status in (1, 2)
    said = caught.value.stderr.decode().splitlines()
    (line,) = [text for text in said if not text.startswith("{")]  # of the log
    print(line)
    assert line.startswith(f"{name}: cannot open the ")


@pytest.mark.skipif(compose_command() is None, reason="Docker Compose is not installed")
@pytest.mark.parametrize("profile", ["plain", "nats"])
async def test_one_command_and_it_is_healthy_passes_the_demo_and_loses_no_frame(
    client, images, tmp_path, profile
):
    assert set(images) == {*SETTINGS, "camera"}
    if why_not := await asyncio.to_thread(pull, client, profile):
        pytest.skip(why_not)
    async with up(client, profile) as system:
        seconds = await asyncio.to_thread(system.until_healthy)
        print(f"{profile}: up and healthy in {seconds:.0f} s")
        await the_demo_passes(system, tmp_path)
        await no_frame_is_lost_when_the_decoder_is_killed(system)
        async with OperatorClient(system.addresses.decoder) as operator:
            found = []
            async with asyncio.timeout(120):
                while not found:
                    await asyncio.sleep(0.5)  # it lies in another process
                    found = [one async for one in operator.frames("sample", newest=1)]
            print("the sample camera's frames are there")
