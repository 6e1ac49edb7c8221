"""The contact sheet shows what it is given, where it says."""

import numpy as np
import pytest

from tests.client.harness import flat
from ugicm_client.annotation import Finding
from ugicm_client.demo.contact_sheet import draw_contact_sheet, make_row

CAPTIONS = (("name", "size"),) * 4
# Left edges and the upper edge of the first row's pictures, and the side that they are fitted to.
COLUMNS, TOP, CELL = (28, 382, 736, 1090), 122, 340


def sheet(*rows):
    return draw_contact_sheet(rows, title="title", subtitle="subtitle")


def row(original, human, machine, findings=()):
    return make_row(original, human, machine, findings=findings, captions=CAPTIONS)


def test_every_column_shows_its_picture():
    drawn = sheet(row(flat(10, 100, 100), flat(100, 100, 100), flat(110, 100, 100)))
    middles = [drawn[TOP + CELL // 2, left + CELL // 2].tolist() for left in COLUMNS]
    # The difference is 10, and 16 the largest power of two that keeps it within 255.
    assert middles == [[10] * 3, [100] * 3, [110] * 3, [160] * 3]


def test_the_difference_has_one_factor_for_all_rows():
    weak = row(flat(0, 9, 9), flat(0, 9, 9), flat(1, 9, 9))
    strong = row(flat(0, 9, 9), flat(0, 9, 9), flat(60, 9, 9))
    drawn = sheet(weak, strong)
    below = TOP + CELL + 46
    assert drawn[TOP + 100, COLUMNS[3] + 100].tolist() == [4] * 3
    assert drawn[below + 100, COLUMNS[3] + 100].tolist() == [240] * 3


def test_findings_are_outlined_in_the_machine_view_alone():
    face = Finding("face", 0.9, (17, 17, 85, 85))
    plain = [flat(50, 170, 170)] * 3
    drawn, without = sheet(row(*plain, [face])), sheet(row(*plain))
    differs = (drawn != without).any(axis=-1)
    assert not differs[:, : COLUMNS[2]].any()
    assert not differs[:, COLUMNS[3] :].any()
    # The sheet shows the picture at twice its size.
    edges = (TOP + 2 * 17, COLUMNS[2] + 2 * 17), (TOP + 2 * 85, COLUMNS[2] + 2 * 85)
    assert all(differs[edge] for edge in edges)
    assert not differs[TOP + 100, COLUMNS[2] + 100]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
def test_any_shape_is_drawn(shape):
    images = [flat(level, *shape) for level in (0, 0, 255)]
    assert sheet(row(*images)).shape[1] == COLUMNS[3] + CELL + COLUMNS[0]


def test_equal_views_are_drawn_as_black():
    drawn = sheet(row(flat(9), flat(9), flat(9)))
    np.testing.assert_array_equal(drawn[TOP + 50, COLUMNS[3] + 50], [0, 0, 0])
