"""The Dockerfiles: one base, no more than a service needs, nobody's root, and a health check."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch

import pytest

from tests.images.composition import ROOT, SETTINGS
from tests.images.dockerfiles import Dockerfile

FOLDER = ROOT / "deploy" / "docker"
FILES = {path.stem: Dockerfile(path) for path in sorted(FOLDER.glob("*.Dockerfile"))}
PACKAGES = {
    tomllib.loads(path.read_text())["project"]["name"]: path.parent
    for path in ROOT.glob("[!.]*/**/pyproject.toml")
}
# What would find CLIP, detectors or a GPU's libraries their way to the edge.
HEAVY = {
    "compressai",
    "onnxruntime",
    "open-clip-torch",
    "opencv-python-headless",
    "torchvision",
    "transformers",
    "ultralytics",
}


def requirements(package, with_extras=()):
    project = tomllib.loads((PACKAGES[package] / "pyproject.toml").read_text())["project"]
    declared = list(project["dependencies"])
    if package in with_extras:
        for extra in project["optional-dependencies"].values():
            declared += extra
    return {re.match(r"[\w.-]+", one).group().lower() for one in declared}


def closure(package, with_extras=()):
    """Return a package of ours with all others of ours that it, or an extra, needs."""
    found = {package}
    for needed in requirements(package, with_extras) & set(PACKAGES):
        found |= closure(needed, with_extras)
    return found


def test_every_service_and_the_client_have_one():
    assert set(FILES) == {*SETTINGS, "client"}


@pytest.mark.parametrize("name", FILES)
def test_the_base_is_chosen_by_a_build_argument(name):
    file = FILES[name]
    assert ("ARG", "BASE_IMAGE=python:3.11-slim") in file.head
    bases = {file.of(stage, "FROM")[0].partition(" AS ")[0] for stage in file.stages}
    assert bases - set(file.stages) == {"${BASE_IMAGE}"}
    assert file.of("", "FROM") == ["${BASE_IMAGE}"]


@pytest.mark.parametrize("name", FILES)
def test_images_share_their_libraries_layer(name):
    # Word for word, else the builder makes another layer.
    assert FILES[name].stages["libraries"] == FILES["encoder"].stages["libraries"]
    assert FILES[name].stages[""][:2] == FILES["encoder"].stages[""][:2]
    assert "COMPUTE=cpu" in FILES[name].of("libraries", "ARG")


@pytest.mark.parametrize("name", FILES)
def test_packages_of_ours_are_what_it_needs_and_no_others(name):
    (install,) = [text for text in FILES[name].of("service", "RUN") if "install_service" in text]
    package = f"ugicm-{name}"
    words = install.replace('"', "").split()
    assert package in words
    chosen = {word.partition("[")[0] for word in words if "[" in word}
    needed = {PACKAGES[one].relative_to(ROOT).as_posix() for one in closure(package, chosen)}
    copied = {text.split()[0] for text in FILES[name].of("wheels", "COPY")} - {"constraints.txt"}
    assert copied == needed
    (wheels,) = [text for text in FILES[name].of("wheels", "RUN") if "pip wheel" in text]
    assert {text for text in wheels.split() if text.startswith("./")} == {f"./{n}" for n in needed}


@pytest.mark.parametrize("name", ["encoder", "decoder", "client"])
def test_the_edge_has_neither_clip_nor_detectors(name):
    every = {one for package in closure(f"ugicm-{name}") for one in requirements(package)}
    assert "torch" in every
    assert not every & HEAVY


@pytest.mark.parametrize("name", FILES)
def test_nobody_is_root_and_nothing_is_written_beside_volumes(name):
    assert FILES[name].of("", "USER") == ["10001:10001"]
    assert FILES[name].of("", "WORKDIR") == ["/var/lib/ugicm"]
    environment = FILES[name].environment
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["NUMBA_CACHE_DIR"].startswith("/opt/ugicm/")


@pytest.mark.parametrize("name", SETTINGS)
def test_services_are_asked_whether_they_are_ready(name):
    (check,) = FILES[name].of("", "HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[2:] == ["/opt/ugicm/healthcheck.py", f"UGICM_{name.upper()}_METRICS_PORT"]
    port = FILES[name].environment[command[-1]]
    assert FILES[name].of("", "EXPOSE") == [f"{int(port) - 10} {port}"]


@pytest.mark.parametrize("name", ["encoder", "decoder", "analytics"])
def test_models_are_baked_in_by_choice(name):
    assert "MODELS=deploy/docker/models" in FILES[name].of("", "ARG")
    assert "${MODELS} /models/" in FILES[name].of("", "COPY")


@pytest.mark.parametrize("name", FILES)
def test_the_builder_gets_what_is_copied(name):
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert lines[0] == "*"
    for source in FILES[name].from_tree:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, one) or source.startswith(f"{one}/") for one in admitted), source
