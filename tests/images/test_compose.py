"""docker-compose.yml: valid, whole in every profile, and settings that the services know."""

from __future__ import annotations

import copy
import json
import re
import subprocess

import click
import pytest
from compose_spec import PyCompose

from tests.images.composition import (
    FILE,
    ROOT,
    SETTINGS,
    SYSTEMS,
    composition,
    dockerfile,
    kind,
    mounts,
    ours,
    settings_of,
    started,
)
from tests.images.engine import compose_command
from ugicm_client.commands.camera import camera
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.exposure import check_exposure

CONTENT = composition()
OURS = ours(CONTENT)
SERVERS = [name for name in OURS if kind(name) in SETTINGS]


def validate(content):
    PyCompose.from_json(json.dumps(content)).validate()


def test_the_file_is_valid():
    validate(CONTENT)


@pytest.mark.parametrize(
    ("where", "key", "value", "problem"),
    [
        ((), "volumess", {}, "volumess"),
        (("services", "decoder"), "read_olny", True, "read_olny"),
        (("services", "decoder"), "restart", "sometimes", "sometimes"),
        (("services", "decoder", "networks"), "nonesuch", {}, "nonesuch"),
        (("services", "prometheus", "healthcheck"), "tset", ["CMD", "true"], "tset"),
    ],
)
def test_what_is_not_valid_is_noticed(where, key, value, problem):
    content = copy.deepcopy(CONTENT)
    below = content
    for name in where:
        below = below[name]
    below[key] = value
    with pytest.raises(ValueError, match=problem):
        validate(content)


@pytest.mark.skipif(compose_command() is None, reason="Docker Compose is not installed")
def test_docker_compose_reads_it():
    command = [*compose_command(), "--file", str(FILE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("profile", SYSTEMS)
def test_each_profile_is_a_whole_system(profile):
    system = started(CONTENT, profile)
    assert set(system) == {*SETTINGS, "camera"}
    for name in SETTINGS:
        assert name in system[name]["networks"]["default"]["aliases"]


def test_without_a_word_the_plain_one_starts():
    lines = (ROOT / ".env").read_text().splitlines()
    assert "COMPOSE_PROFILES=plain" in lines


def test_no_service_belongs_to_no_profile():
    named = {name for name, one in CONTENT["services"].items() for _ in one["profiles"]}
    assert named == set(CONTENT["services"])
    profiles = {each for one in CONTENT["services"].values() for each in one["profiles"]}
    assert profiles == {*SYSTEMS, "observability"}


@pytest.mark.parametrize("name", SERVERS)
def test_every_service_would_start_with_its_settings(name):
    check_exposure(settings_of(name, OURS[name]))


@pytest.mark.parametrize("name", SERVERS)
def test_a_setting_that_nobody_knows_is_noticed(name):
    service = copy.deepcopy(OURS[name])
    service["environment"][f"UGICM_{kind(name).upper()}_QALITY"] = "3"
    with pytest.raises(BadSettings, match="is not a setting"):
        settings_of(name, service)


@pytest.mark.parametrize("name", [name for name in OURS if kind(name) == "camera"])
def test_the_camera_knows_its_options_and_has_photos(name):
    _, *arguments = OURS[name]["command"]
    with camera.make_context("camera", list(arguments)) as context:
        assert context.params["source"] == "/photos"
    assert "--from=photos /photos /photos/" in dockerfile(OURS[name]).of("", "COPY")
    options = {option.envvar for option in camera.params if isinstance(option, click.Option)} | {
        None
    }
    assert set(OURS[name].get("environment", {})) <= options


@pytest.mark.parametrize("name", OURS)
def test_containers_may_do_no_more_than_they_must(name):
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert dockerfile(service).of("", "USER") == ["10001:10001"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    drain = settings_of(name, service).drain_seconds if name in SERVERS else 0
    assert grace > drain + 5


@pytest.mark.parametrize("name", SERVERS)
def test_what_is_written_lies_on_a_volume(name):
    settings = settings_of(name, OURS[name])
    for field in ("spool", "store", "results"):
        path = getattr(settings, field, None)
        if path is not None and not (field == "store" and settings.nats):
            assert mounts(OURS[name])[str(path.parent)] in CONTENT["volumes"]


@pytest.mark.parametrize("profile", SYSTEMS)
def test_every_service_finds_the_others(profile):
    system = started(CONTENT, profile)
    listening = {f"{name}:{settings_of(name, system[name]).port}" for name in SETTINGS}
    for name in SETTINGS:
        settings = settings_of(name, system[name])
        for field in ("upstream", "decoder", "encoder", "analytics"):
            assert getattr(settings, field, None) in {None, *listening}
    assert (
        f"--server=encoder:{settings_of('encoder', system['encoder']).port}"
        in (system["camera"]["command"])
    )


@pytest.mark.parametrize("name", CONTENT["services"])
def test_what_is_unprotected_is_open_to_this_machine_only(name):
    service = CONTENT["services"][name]
    protected = name in SERVERS and settings_of(name, service).tokens is not None
    for published in service.get("ports", []):
        assert protected or published.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVERS)
def test_the_port_that_is_published_is_the_one_it_listens_on(name):
    (published,) = OURS[name]["ports"]
    assert published.endswith(f":{settings_of(name, OURS[name]).port}")


@pytest.mark.parametrize("profile", SYSTEMS)
def test_metrics_and_probes_are_reached_from_the_other_containers(profile):
    for name, service in started(CONTENT, profile).items():
        if name in SETTINGS:
            settings = settings_of(name, service)
            assert (settings.metrics_host, settings.metrics_port) == ("0.0.0.0", settings.port + 10)


def test_tls_protects_every_service_and_every_way():
    system = started(CONTENT, "tls")
    for name in SETTINGS:
        settings = settings_of(name, system[name])
        assert None not in (settings.tls_cert, settings.tls_key, settings.tokens)
        if hasattr(settings, "upstream_tls_ca"):
            assert settings.upstream_tls_ca is not None
        if hasattr(settings, "upstream_token_file"):
            assert settings.upstream_token_file is not None
        assert "/etc/ugicm" in mounts(system[name])
    assert set(system["camera"]["environment"]) == {"UGICM_TLS_CA", "UGICM_TOKEN_FILE"}


def test_the_gpu_goes_to_the_decoder_that_is_built_for_it():
    decoder = started(CONTENT, "gpu")["decoder"]
    assert decoder["build"]["args"]["COMPUTE"] == "cuda"
    assert decoder["image"] != started(CONTENT, "plain")["decoder"]["image"]
    assert settings_of("decoder-gpu", decoder).device == "cuda"
    (device,) = decoder["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    cpu = [one for name, one in OURS.items() if name != "decoder-gpu"]
    assert {one["build"]["args"]["COMPUTE"] for one in cpu} == {"cpu"}


def test_build_arguments_are_known():
    for service in OURS.values():
        file = dockerfile(service)
        known = {text.partition("=")[0] for _, text in file.head}
        known |= {text.partition("=")[0] for stage in file.stages for text in file.of(stage, "ARG")}
        assert set(service["build"]["args"]) <= known


def test_images_of_others_have_versions_health_checks_and_users():
    others = {n: one for n, one in CONTENT["services"].items() if n not in OURS}
    assert set(others) == {"prometheus", "grafana", "nats"}
    for service in others.values():
        assert service["image"].partition(":")[2] not in ("", "latest")
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert ":" in service["user"]


def test_frames_lie_in_nats_where_it_is_chosen():
    decoder = started(CONTENT, "nats")["decoder"]
    server = CONTENT["services"]["nats"]
    text = (ROOT / "deploy" / "nats.conf").read_text()
    settings = dict(re.findall(r"^ *(\w+): *(\S+)$", text, re.MULTILINE))
    assert settings_of("decoder-nats", decoder).nats == (f"nats://nats:{settings['port']}",)
    assert "nats" in server["profiles"]
    assert mounts(server)[settings["store_dir"]] in CONTENT["volumes"]
    assert f":{settings['http']}/healthz" in server["healthcheck"]["test"][-1]
    assert list(decoder["depends_on"]) == ["nats"]


def test_volumes_are_those_that_are_used():
    used = {what for one in CONTENT["services"].values() for what in mounts(one).values()}
    assert {what for what in used if not what.startswith(("./", "/"))} == set(CONTENT["volumes"])
