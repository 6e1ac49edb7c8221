"""A NATS server for the tests whose store is a stream; each has a stream of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.jetstream.servers import Servers, nats_servers, why_not
from ugicm_decoder.store import JetStreamFrameStore
from ugicm_servicekit.jetstream import NatsSettings

_streams = itertools.count()
# Of addresses: each folder that has these fixtures has a server of its own.
_servers = itertools.count(100)


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    if why_not():
        pytest.skip(why_not())
    with nats_servers(tmp_path_factory.mktemp("nats"), next(_servers)) as servers:
        yield servers


@pytest.fixture
def nats_settings(nats: Servers) -> NatsSettings:
    """A stream that no other test has."""
    return NatsSettings(nats=nats.addresses, nats_stream=f"test-{next(_streams)}")


@pytest.fixture
async def jetstream_store(nats_settings: NatsSettings) -> AsyncIterator[JetStreamFrameStore]:
    store = await JetStreamFrameStore.open(nats_settings)
    yield store
    await store.close()
