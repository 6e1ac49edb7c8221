"""Prometheus and Grafana beside docker-compose.yml: they find the services and the dashboard."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml

from tests.images.composition import ROOT, SETTINGS, composition, mounts, settings_of, started

FOLDER = ROOT / "deploy" / "observability"
CONTENT = composition()
PROMETHEUS = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "ugicm.json").read_text())


def test_prometheus_scrapes_every_service_by_the_name_that_alerts_have():
    system = started(CONTENT, "plain")
    expected = {
        f"ugicm-{name}": [f"{name}:{settings_of(name, system[name]).metrics_port}"]
        for name in SETTINGS
    }
    found = {
        job["job_name"]: [target for one in job["static_configs"] for target in one["targets"]]
        for job in PROMETHEUS["scrape_configs"]
    }
    assert found == expected


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool, of Prometheus, is absent")
def test_prometheus_takes_its_settings_and_the_alerts(tmp_path):
    for where, what in mounts(CONTENT["services"]["prometheus"]).items():
        if where.startswith("/etc/prometheus/"):
            shutil.copy(ROOT / what, tmp_path / where.removeprefix("/etc/prometheus/"))
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 1 rule files found" in done.stdout


def test_grafana_finds_prometheus_and_the_dashboard():
    places = mounts(CONTENT["services"]["grafana"])
    assert places["/etc/grafana/provisioning"] == "./deploy/observability/grafana/provisioning"
    provisioning = FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    host, port = source["url"].removeprefix("http://").split(":")
    (published,) = CONTENT["services"][host]["ports"]
    assert published.endswith(f":{port}")
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "ugicm.yaml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] in places
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


def test_panels_have_their_own_numbers_and_do_not_overlap():
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
