"""What kustomize makes of deploy/kubernetes, and the settings that it gives each service."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ugicm_analytics.settings import AnalyticsSettings
from ugicm_console.settings import ConsoleSettings
from ugicm_decoder.settings import DecoderSettings
from ugicm_encoder.settings import EncoderSettings

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
SETTINGS = {
    "ugicm-encoder": EncoderSettings,
    "ugicm-decoder": DecoderSettings,
    "ugicm-analytics": AnalyticsSettings,
    "ugicm-console": ConsoleSettings,
}

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which renders the manifests, is not installed"
)


@functools.cache
def rendered(folder):
    """Return the objects of a folder below deploy/kubernetes, as they would be applied."""
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def overlay(name):
    return rendered(f"overlays/{name}")


def of_kind(objects, *kinds):
    return [one for one in objects if one["kind"] in kinds]


def workloads(objects):
    return of_kind(objects, "Deployment", "StatefulSet")


def services_of_ours(objects):
    """Return the workloads that run services of ours, by name."""
    named = {one["metadata"]["name"]: one for one in workloads(objects)}
    return {name: one for name, one in named.items() if name in SETTINGS}


def pod(workload):
    return workload["spec"]["template"]["spec"]


def environment(workload):
    (container,) = pod(workload)["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def chosen(selector, labels):
    """Tell whether a label selector chooses labels."""

    def holds(rule):
        value = labels.get(rule["key"])
        assert rule["operator"] == "In", rule
        return value in rule["values"]

    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        map(holds, selector.get("matchExpressions", []))
    )
