"""docker-compose.yml as Docker Compose reads it, and what it tells each service."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.images.dockerfiles import Dockerfile
from ugicm_analytics.settings import AnalyticsSettings
from ugicm_console.settings import ConsoleSettings
from ugicm_decoder.settings import DecoderSettings
from ugicm_encoder.settings import EncoderSettings
from ugicm_servicekit.settings import read_settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
SETTINGS = {
    "encoder": EncoderSettings,
    "decoder": DecoderSettings,
    "analytics": AnalyticsSettings,
    "console": ConsoleSettings,
}
# Each of these profiles is a whole system.
SYSTEMS = ("plain", "gpu", "tls", "nats")


def composition(environment=None):
    """Return the file's content, its variables filled in as Compose would."""
    given = environment or {}

    def value(match):
        name, default = match.groups()
        return given.get(name) or default

    text = re.sub(r"\$\{(\w+):-([^}]*)\}", value, FILE.read_text())
    assert "$" not in text, "a variable without a default"
    return yaml.safe_load(text)


def ours(content):
    """Return the services that are built here, by name."""
    return {name: one for name, one in content["services"].items() if "build" in one}


def started(content, profile):
    """Return the services of ours in a profile, by the name that the others know them by."""
    return {
        known_as: content["services"][name] for known_as, name in named(content, profile).items()
    }


def named(content, profile):
    """Return what Compose calls the services of ours in a profile, by what they are."""
    names = [name for name, one in ours(content).items() if profile in one["profiles"]]
    assert len(set(map(kind, names))) == len(names), f"two of a kind in {profile}: {names}"
    return {kind(name): name for name in names}


def kind(name):
    """Return what a service is, whatever system it belongs to."""
    return name.partition("-")[0]


def dockerfile(service):
    return Dockerfile(ROOT / service["build"]["dockerfile"])


def settings_of(name, service):
    """Return the settings that a service reads at its start: the image's variables and Compose's.

    Raises:
        BadSettings: it would not start.
    """
    return read_settings(
        SETTINGS[kind(name)],
        service=kind(name),
        arguments=service.get("command", []),
        environment={**dockerfile(service).environment, **service["environment"]},
    )


def mounts(service):
    """Return where a service's volumes are mounted: what is there, by path."""
    parts = (text.split(":") for text in service.get("volumes", []))
    return {where: what for what, where, *_ in parts}
