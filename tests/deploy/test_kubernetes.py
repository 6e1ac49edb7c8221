"""The manifests: valid, with settings that the services know, and ends that meet."""

from __future__ import annotations

import copy
import functools
import json
import re

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.custom_resources import SCHEMAS
from tests.deploy.manifests import (
    OVERLAYS,
    SETTINGS,
    chosen,
    environment,
    needs_kubectl,
    of_kind,
    overlay,
    pod,
    rendered,
    services_of_ours,
    workloads,
)
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.exposure import check_exposure
from ugicm_servicekit.settings import read_settings

pytestmark = [needs_kubectl, pytest.mark.filterwarnings("ignore::DeprecationWarning:referencing.*")]

# The oldest that has all that is used here.
KUBERNETES_VERSION = "1.31"


def validate(resource):
    validated(json.dumps(resource))


@functools.cache  # overlays have most objects in common
def validated(text):
    resource = json.loads(text)
    if resource["kind"] in SCHEMAS:
        jsonschema.validate(resource, SCHEMAS[resource["kind"]])
    else:
        kubernetes_validate.validate(resource, KUBERNETES_VERSION, strict=True)


def settings_of(name, workload):
    service = name.removeprefix("ugicm-")
    return read_settings(
        SETTINGS[name], service=service, arguments=[], environment=environment(workload)
    )


def port_of(service):
    """Return what a service's port is called: browsers speak HTTP, all others gRPC."""
    return "http" if service == "ugicm-console" else "grpc"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_valid(name):
    for resource in overlay(name):
        validate(resource)


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "Certificate", "ServiceMonitor"])
def test_an_unknown_key_is_noticed(kind):
    resource = copy.deepcopy(of_kind(overlay("secured"), kind)[0])
    resource["spec"]["replcias"] = 3
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(resource)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_service_would_start_with_its_settings(name):
    services = services_of_ours(overlay(name))
    assert set(services) == set(SETTINGS)
    for service, workload in services.items():
        check_exposure(settings_of(service, workload))


def test_the_base_alone_refuses_to_start_rather_than_to_be_open():
    for service, workload in services_of_ours(rendered("base")).items():
        with pytest.raises(BadSettings, match="needs TLS and tokens"):
            check_exposure(settings_of(service, workload))


@pytest.mark.parametrize("name", OVERLAYS)
def test_services_listen_where_their_ports_say(name):
    for service, workload in services_of_ours(overlay(name)).items():
        settings = settings_of(service, workload)
        (container,) = pod(workload)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {port_of(service): settings.port, "metrics": settings.metrics_port}
        for host in (settings.host, settings.metrics_host):
            assert host == "0.0.0.0"


@pytest.mark.parametrize("name", OVERLAYS)
def test_upstreams_are_headless_services_of_ours(name):
    objects = overlay(name)
    ports = {
        f"{one['metadata']['name']}:{port['port']}"
        for one in of_kind(objects, "Service")
        if one["spec"].get("clusterIP") == "None"
        for port in one["spec"]["ports"]
    }
    services = services_of_ours(objects)
    encoder = settings_of("ugicm-encoder", services["ugicm-encoder"])
    analytics = settings_of("ugicm-analytics", services["ugicm-analytics"])
    console = settings_of("ugicm-console", services["ugicm-console"])
    behind = (console.encoder, console.decoder, console.analytics)
    for address in (encoder.upstream, analytics.decoder, *behind):
        assert address.startswith("dns:///")
        assert address.removeprefix("dns:///") in ports
    assert {console.encoder_metrics, console.decoder_metrics, console.analytics_metrics} <= ports


@pytest.mark.parametrize("name", OVERLAYS)
def test_connections_end_so_that_streams_spread_again(name):
    for service, workload in services_of_ours(overlay(name)).items():
        if port_of(service) == "grpc":
            assert settings_of(service, workload).connection_age_seconds is not None


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_may_do_no_more_than_they_must(name):
    for service, workload in services_of_ours(overlay(name)).items():
        spec = pod(workload)
        assert spec["securityContext"]["runAsNonRoot"]
        assert not spec["automountServiceAccountToken"]
        # Variables that Kubernetes sets for Services would be settings that nobody knows.
        assert not spec["enableServiceLinks"]
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        # It is killed if it hangs, not while the decoder behind it is away.
        for probe in ("livenessProbe", "startupProbe"):
            assert container[probe]["httpGet"] == {"path": "/livez", "port": "metrics"}
        least = settings_of(service, workload).drain_seconds + 5
        assert spec["terminationGracePeriodSeconds"] > least


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_is_written_lies_on_volumes_that_are_there(name):
    objects = overlay(name)
    claims = {one["metadata"]["name"] for one in of_kind(objects, "PersistentVolumeClaim")}
    fields = {"ugicm-encoder": "spool", "ugicm-decoder": "store", "ugicm-analytics": "results"}
    for service, field in fields.items():
        workload = services_of_ours(objects)[service]
        settings = settings_of(service, workload)
        if getattr(settings, "nats", ()):
            continue  # the servers of NATS keep it
        written = getattr(settings, field)
        templates = workload["spec"].get("volumeClaimTemplates", [])
        kept = {one["metadata"]["name"] for one in templates}
        for volume in pod(workload)["volumes"]:
            claim = volume.get("persistentVolumeClaim")
            if claim is not None:
                assert claim["claimName"] in claims
                kept.add(volume["name"])
        (container,) = pod(workload)["containers"]
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        assert mounts[str(written.parent)] in kept


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_selector_chooses_a_workload(name):
    objects = overlay(name)
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in workloads(objects)]
    selectors = [{"matchLabels": s["spec"]["selector"]} for s in of_kind(objects, "Service")]
    selectors += [p["spec"]["selector"] for p in of_kind(objects, "PodDisruptionBudget")]
    selectors += [p["spec"]["podSelector"] for p in of_kind(objects, "NetworkPolicy")]
    assert all(any(chosen(one, label) for label in labels) for one in selectors)
    budgets = [p["spec"]["selector"] for p in of_kind(objects, "PodDisruptionBudget")]
    assert all(any(chosen(budget, label) for budget in budgets) for label in labels)


@pytest.mark.parametrize("name", OVERLAYS)
def test_monitors_and_autoscalers_point_at_something(name):
    objects = overlay(name)
    services = of_kind(objects, "Service")
    for monitor in of_kind(objects, "ServiceMonitor"):
        ports = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
        watched = {
            service["metadata"]["name"]
            for service in services
            if chosen(monitor["spec"]["selector"], service["metadata"].get("labels", {}))
            and ports <= {port["name"] for port in service["spec"]["ports"]}
        }
        assert set(SETTINGS) <= watched
    known = {(one["kind"], one["metadata"]["name"]): one for one in workloads(objects)}
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        # Else every apply would set it back.
        assert "replicas" not in known[target["kind"], target["name"]]["spec"]


def may_connect(objects, caller, callee, port):
    """Tell whether the policies let pods with one set of labels call pods with another."""
    policies = [
        one["spec"]
        for one in of_kind(objects, "NetworkPolicy")
        if chosen(one["spec"]["podSelector"], callee) and "Ingress" in one["spec"]["policyTypes"]
    ]
    rules = [rule for policy in policies for rule in policy.get("ingress", [])]
    return not policies or any(
        lets_in(rule, caller) for rule in rules if port in {one["port"] for one in rule["ports"]}
    )


def lets_in(rule, caller):
    """Tell whether a rule's peers are all, or pods with these labels."""
    peers = [peer["podSelector"] for peer in rule.get("from", ()) if "podSelector" in peer]
    return "from" not in rule or any(chosen(peer, caller) for peer in peers)


def test_roles_reach_what_they_need_and_nothing_else():
    objects = overlay("secured")
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"]
        for name, one in services_of_ours(objects).items()
    }
    roles = ("camera", "operator", "pipeline", "admin")
    callers = {**labels, **{role: {"ugicm/role": role} for role in roles}}
    reached = {
        callee: {
            caller
            for caller, its in callers.items()
            if may_connect(objects, its, labels[callee], port_of(callee))
        }
        for callee in labels
    }
    assert reached == {
        "ugicm-encoder": set(callers),
        "ugicm-decoder": {
            *("ugicm-encoder", "ugicm-analytics", "ugicm-console"),
            *("operator", "pipeline", "admin"),
        },
        "ugicm-analytics": {"ugicm-console", "operator", "pipeline", "admin"},
        "ugicm-console": set(callers),
    }
    scraping = {
        callee: {
            caller
            for caller, its in callers.items()
            if may_connect(objects, its, labels[callee], "metrics")
        }
        for callee in labels
    }
    assert scraping == {
        callee: set() if callee == "ugicm-console" else {"ugicm-console"} for callee in labels
    }


def test_certificates_name_the_services_as_their_clients_do():
    objects = overlay("secured")
    named = {
        one["spec"]["secretName"]: one["spec"].get("dnsNames")
        for one in of_kind(objects, "Certificate")
    }
    for service, workload in services_of_ours(objects).items():
        settings = settings_of(service, workload)
        (container,) = pod(workload)["containers"]
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod(workload)["volumes"]}
        secret = volumes[mounts[str(settings.tls_cert.parent)]]["secret"]["secretName"]
        assert service in named[secret]


def test_a_gpu_is_asked_for_where_the_device_is_one():
    services = services_of_ours(overlay("gpu"))
    decoder = services["ugicm-decoder"]
    assert settings_of("ugicm-decoder", decoder).device == "cuda"
    (container,) = pod(decoder)["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-cuda")


def test_the_servers_of_nats_know_one_another_and_fit_their_disks():
    objects = overlay("jetstream")
    (nats,) = [one for one in workloads(objects) if one["metadata"]["name"] == "ugicm-nats"]
    name, spec = nats["spec"]["serviceName"], nats["spec"]
    (config,) = [
        one["data"]["nats.conf"]
        for one in of_kind(objects, "ConfigMap")
        if one["metadata"]["name"].startswith("nats-")
    ]
    hosts = {f"{name}-{n}.{name}" for n in range(spec["replicas"])}
    assert set(re.findall(r"nats://([\w.-]+):6222", config)) == hosts
    (certificate,) = [
        one["spec"]["dnsNames"]
        for one in of_kind(objects, "Certificate")
        if one["metadata"]["name"] == name
    ]
    assert hosts <= set(certificate)
    (most,) = re.findall(r"max_file_store: (\d+)GB", config)
    (volume,) = spec["volumeClaimTemplates"]
    room = volume["spec"]["resources"]["requests"]["storage"]
    assert int(most) * 10**9 < int(room.removesuffix("Gi")) * 2**30


def test_who_keeps_things_in_nats_reaches_all_its_servers_and_can_be_there_often():
    objects = overlay("jetstream")
    services = services_of_ours(objects)
    (nats,) = [one for one in workloads(objects) if one["metadata"]["name"] == "ugicm-nats"]
    labels = nats["spec"]["template"]["metadata"]["labels"]
    secret_files = {"tls.crt", "tls.key", "ca.crt"}
    for name in ("ugicm-decoder", "ugicm-analytics"):
        workload, settings = services[name], settings_of(name, services[name])
        if name == "ugicm-decoder":
            settings.check_store()
        assert set(settings.nats) == {
            f"nats://ugicm-nats-{n}.ugicm-nats:4222" for n in range(nats["spec"]["replicas"])
        }
        assert settings.nats_replicas == nats["spec"]["replicas"]
        shown = {settings.nats_tls_cert, settings.nats_tls_key, settings.nats_tls_ca}
        assert {path.name for path in shown} == secret_files
        assert workload["spec"]["replicas"] > 1
        assert not [v for v in pod(workload)["volumes"] if "persistentVolumeClaim" in v]
        caller = workload["spec"]["template"]["metadata"]["labels"]
        assert may_connect(objects, caller, labels, "client")
    encoder = services["ugicm-encoder"]["spec"]["template"]["metadata"]["labels"]
    assert not may_connect(objects, encoder, labels, "client")


def test_every_secret_is_a_certificates_or_the_one_that_the_guide_makes():
    for name in OVERLAYS:
        objects = overlay(name)
        made = {one["spec"]["secretName"] for one in of_kind(objects, "Certificate")}
        used = {
            volume["secret"]["secretName"]
            for workload in workloads(objects)
            for volume in pod(workload)["volumes"]
            if "secret" in volume
        }
        assert used - made <= {"ugicm-tokens"}
