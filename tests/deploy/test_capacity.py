"""What capacity planning computes, and that its tables in the documentation are its own."""

from __future__ import annotations

import json

import pytest

from deploy import capacity
from tests.deploy.manifests import KUBERNETES

DOCUMENT = KUBERNETES.parents[1] / "docs" / "scaling.md"
MEASURED = {
    "device": "an abacus",
    "sizes": {
        "8x8": {"stream_bytes": {"50": 1000}, "encode_seconds": 0.5, "decode_seconds": 1.0},
    },
    "stored_frames_per_second": 100,
}
WORKLOAD = capacity.Workload(size="8x8", fps=2.0, read=0.5, retention_days=10.0, use=0.5)


def test_a_fleet_needs_what_its_cameras_add_up_to():
    assert capacity.need(100, 10, WORKLOAD, MEASURED) == capacity.Need(
        frames=200.0,
        site_megabits=0.16,
        megabits=1.6,
        stored_bytes=200 * 1000 * 86_400 * 10,
        site_encoders=5,  # 20 frames a second of half a second, on four cores half used
        decoders=50,
        stores=4,
    )


def test_a_site_has_an_encoder_and_the_last_site_no_half_camera():
    one = capacity.need(1, 1, capacity.Workload(size="8x8", fps=0.01), MEASURED)
    assert (one.site_encoders, one.decoders, one.stores) == (1, 1, 1)
    uneven = capacity.need(11, 10, WORKLOAD, MEASURED)
    assert uneven.site_megabits == pytest.approx(2 * 2.0 * 1000 * 8 / 1e6)


def test_the_document_has_the_tables_of_what_was_measured():
    measured = json.loads(capacity.MEASURED.read_text())
    text = DOCUMENT.read_text()
    assert capacity.updated(text, capacity.report(capacity.Workload(), measured)) == text


def test_another_measurement_makes_another_document():
    text = DOCUMENT.read_text()
    assert capacity.updated(text, capacity.report(WORKLOAD, MEASURED)) != text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--size=4k"], "size 4k was not measured; there are 768x512"),
        (["--quality=51"], "quality 51 was not measured; there are 25, 50, 75"),
        (["--fps=0"], "must be above 0, got 0"),
        (["--measured=absent.json"], "No such file"),
    ],
)
def test_what_cannot_be_planned_is_said(arguments, problem, capsys):
    with pytest.raises(SystemExit) as caught:
        capacity.main(arguments)
    assert problem in f"{caught.value} {capsys.readouterr().err}"


def test_a_document_without_marks_is_left_alone(tmp_path):
    document = tmp_path / "notes.md"
    document.write_text("nothing to fill in\n")
    with pytest.raises(SystemExit, match="the document needs the lines"):
        capacity.main([f"--update={document}"])
    assert document.read_text() == "nothing to fill in\n"
