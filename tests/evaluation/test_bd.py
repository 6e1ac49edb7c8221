import pytest

from tests.evaluation.shared_data import SHARED_DATA, needs_shared_data
from ugicm_evaluation.bd import Curve, bd_metric, bd_rate
from ugicm_evaluation.errors import BadCurve
from ugicm_evaluation.published import published_curves

CURVE = Curve.of([0.1, 0.2, 0.4, 0.8, 1.2], [26.0, 28.5, 31.0, 34.0, 36.0])


def scaled(curve, factor):
    return Curve.of([factor * rate for rate in curve.rate], curve.quality)


# As CompressAI's own files and the literature have them.
@needs_shared_data
@pytest.mark.parametrize(
    ("codec", "published"), [("bmshj2018", 30.5), ("JPEG", 209.0), ("WebP", 79.0)]
)
def test_published_curves_have_their_published_distance_to_vtm(codec, published):
    curves = published_curves(SHARED_DATA / "published_kodak")
    assert bd_rate(curves["VTM"], curves[codec]) == pytest.approx(published, abs=0.6)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25, 3.0])
def test_a_curve_at_a_multiple_of_the_rate_is_that_much_worse(factor):
    assert bd_rate(CURVE, scaled(CURVE, factor)) == pytest.approx(100 * (factor - 1), abs=1e-9)


@pytest.mark.parametrize("gain", [-2.0, 0.0, 0.75])
def test_a_curve_that_much_higher_is_that_much_better(gain):
    higher = Curve.of(CURVE.rate, [quality + gain for quality in CURVE.quality])
    assert bd_metric(CURVE, higher) == pytest.approx(gain, abs=1e-9)


def test_curves_without_a_shared_range_of_rate_have_no_metric():
    with pytest.raises(BadCurve, match=r"0\.10 to 1\.20 and 10\.00 to 120\.00"):
        bd_metric(CURVE, scaled(CURVE, 100.0))


def test_only_the_shared_range_of_quality_counts():
    longer = Curve.of([*CURVE.rate, 9.0], [*CURVE.quality, 36.5])
    assert bd_rate(CURVE, scaled(longer, 2.0)) == pytest.approx(100.0, abs=2.0)


def test_points_that_rise_in_rate_alone_are_left_out():
    assert Curve.of([3.0, 1.0, 2.0], [30.0, 28.0, 27.0]) == Curve((1.0, 3.0), (28.0, 30.0))


def test_three_points_are_no_curve():
    short = Curve.of(CURVE.rate[:3], CURVE.quality[:3])
    with pytest.raises(BadCurve, match="at least 4 points, got 5 and 3"):
        bd_rate(CURVE, short)


def test_curves_without_a_shared_range_are_refused():
    above = Curve.of(CURVE.rate, [quality + 20 for quality in CURVE.quality])
    with pytest.raises(BadCurve, match=r"26\.00 to 36\.00 and 46\.00 to 56\.00"):
        bd_rate(CURVE, above)


def test_a_published_file_without_a_curve_is_named(tmp_path):
    (tmp_path / "jpeg.json").write_text('{"results": {"bpp": [1]}}')
    with pytest.raises(BadCurve, match=r"jpeg\.json holds no bpp and psnr-rgb"):
        published_curves(tmp_path)
