"""The system of docker-compose.yml in containers: built and watched by way of Docker's own API."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import subprocess
import time
import warnings
from contextlib import ExitStack, asynccontextmanager

import docker
from docker.errors import DockerException, ImageNotFound

from tests.images.composition import FILE, ROOT, SETTINGS, composition, named, started
from ugicm_client.demo.system import Addresses

_START_SECONDS = 240


def engine():
    """Return a client of the Docker engine, or why there is none."""
    try:
        return docker.from_env(timeout=600), ""
    except DockerException as error:
        why = f"no Docker engine answers: {error}"
    # What could not be made does not close its socket.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()
    return None, why


def compose_command():
    """Return the command that is Docker Compose here, or None."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is not None:
            found = subprocess.run([*command, "version"], capture_output=True, check=False)
            if found.returncode == 0:
                return command
    return None


def build(client):
    """Build the images of the plain system; returns them by what they are."""
    images = {}
    for name, service in started(composition(os.environ), "plain").items():
        images[name], _ = client.images.build(
            path=str(ROOT),
            dockerfile=service["build"]["dockerfile"],
            buildargs=service["build"]["args"],
            tag=service["image"],
            rm=True,
        )
    return images


def pull(client, profile):
    """Fetch what a profile has of others' images; returns why not, or nothing."""
    for service in composition()["services"].values():
        if profile in service["profiles"] and "build" not in service:
            try:
                client.images.get(service["image"])
            except ImageNotFound:
                try:
                    client.images.pull(service["image"])
                except DockerException as error:
                    return f"{service['image']} cannot be pulled: {error}"
    return ""


class Containers:
    """A project of Docker Compose that is up, by one of its profiles."""

    def __init__(self, client, profile, project, ports):
        self._client = client
        self._names = named(composition(), profile)
        self._project = project
        self.addresses = Addresses(
            *(f"127.0.0.1:{ports[name]}" for name in ("encoder", "decoder", "analytics"))
        )

    def container(self, name):
        label = [
            f"com.docker.compose.project={self._project}",
            f"com.docker.compose.service={self._names[name]}",
        ]
        (found,) = self._client.containers.list(all=True, filters={"label": label})
        return found

    def until_healthy(self):
        """Return how many seconds it takes until every service says that it is healthy."""
        began = time.monotonic()
        while True:
            health = {
                name: self.container(name).attrs["State"]["Health"]["Status"] for name in SETTINGS
            }
            if set(health.values()) == {"healthy"}:
                return time.monotonic() - began
            assert time.monotonic() - began < _START_SECONDS, health
            time.sleep(0.5)

    async def kill_decoder(self):
        await asyncio.to_thread(self.container("decoder").kill)

    async def start_decoder(self):
        await asyncio.to_thread(self.container("decoder").start)


@asynccontextmanager
async def up(client, profile):
    """Bring a profile's system up at free ports, in one command; it is gone at the end."""
    with ExitStack() as probes:
        opened = {
            name: probes.enter_context(socket.create_server(("127.0.0.1", 0))) for name in SETTINGS
        }
        ports = {name: probe.getsockname()[1] for name, probe in opened.items()}
    project = f"ugicm-test-{os.getpid()}"
    environment = {
        **os.environ,
        "COMPOSE_PROFILES": profile,
        **{f"UGICM_{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }
    command = [*compose_command(), "--file", str(FILE), "--project-name", project]

    async def compose(*arguments):
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        assert process.returncode == 0, output

    try:
        await compose("up", "--detach", "--no-build")
        yield Containers(client, profile, project, ports)
    finally:
        await compose("down", "--volumes")
