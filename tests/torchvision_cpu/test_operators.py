import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchvision_cpu.operators import nms, roi_align


def slow_nms(boxes, scores, threshold):
    """Greedy suppression, one pair at a time, on Python's float64."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept = []
    for i in order:
        if all(not overlap(boxes[i], boxes[k]) > threshold for k in kept):
            kept.append(i)
    return kept


def overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area_a, area_b = ((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b))
    union = area_a + area_b - width * height
    return width * height / union if union else math.nan


def slow_roi_align(features, rois, scale, height, width, ratio, aligned):
    """The formula of the compiled kernel, one sample at a time."""
    output = torch.zeros(len(rois), features.shape[1], height, width, dtype=features.dtype)
    for k, (picture, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0.0) for c in corners)
        roi_height, roi_width = y2 - y1, x2 - x1
        if not aligned:
            roi_height, roi_width = max(roi_height, 1.0), max(roi_width, 1.0)
        bin_height, bin_width = roi_height / height, roi_width / width
        down = ratio if ratio > 0 else math.ceil(bin_height)
        across = ratio if ratio > 0 else math.ceil(bin_width)
        for i in range(height):
            for j in range(width):
                for iy in range(down):
                    for ix in range(across):
                        y = y1 + i * bin_height + (iy + 0.5) * bin_height / down
                        x = x1 + j * bin_width + (ix + 0.5) * bin_width / across
                        output[k, :, i, j] += bilinear(features[int(picture)], y, x)
                output[k, :, i, j] /= max(down * across, 1)
    return output


def bilinear(feature, y, x):
    height, width = feature.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros(feature.shape[0], dtype=feature.dtype)
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    return (1 - down) * ((1 - across) * feature[:, top, left] + across * feature[:, top, right]) + (
        down * ((1 - across) * feature[:, bottom, left] + across * feature[:, bottom, right])
    )


corner = st.integers(0, 12)
box = st.tuples(corner, corner, corner, corner).map(
    lambda c: (float(c[0]), float(c[1]), float(c[0] + c[2]), float(c[1] + c[3]))
)


@given(
    st.lists(st.tuples(box, st.integers(0, 5)), max_size=12),
    st.sampled_from([0.0, 0.25, 0.5, 2 / 3, 1.0]),
)
def test_nms_keeps_what_pairwise_suppression_keeps(scored_boxes, threshold):
    boxes = torch.tensor([b for b, _ in scored_boxes], dtype=torch.float64).reshape(-1, 4)
    scores = torch.tensor([float(s) for _, s in scored_boxes])
    expected = slow_nms(boxes.tolist(), scores.tolist(), threshold)
    kept = nms(boxes, scores, threshold)
    assert kept.dtype == torch.int64
    assert kept.tolist() == expected


def test_a_threshold_is_not_rounded_to_float32():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [0.0, 0.0, 3.0, 1.0]])
    scores = torch.tensor([2.0, 1.0])
    iou = float(torch.tensor(3.0) / torch.tensor(10.0))
    assert iou > 0.3
    assert nms(boxes, scores, 0.3).tolist() == [0]
    assert nms(boxes, scores, iou).tolist() == [0, 1]


def test_equal_scores_keep_their_order():
    starts = torch.arange(200.0)
    boxes = torch.stack([starts, starts, starts + 1, starts + 1], dim=1)
    assert nms(boxes, torch.ones(200), 0.5).tolist() == list(range(200))


def test_nms_refuses_scores_of_another_length():
    with pytest.raises(ValueError, match=r"got \(3, 4\) and \(2,\)"):
        nms(torch.zeros(3, 4), torch.zeros(2), 0.5)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 2])
@pytest.mark.parametrize(("height", "width"), [(3, 2), (1, 4)])
def test_roi_align_follows_the_formula(aligned, ratio, height, width):
    generator = torch.Generator().manual_seed(7)
    features = torch.randn(2, 3, 13, 17, generator=generator)
    centres = torch.rand(9, 2, generator=generator) * 70 - 8
    sides = torch.rand(9, 2, generator=generator) * 40
    picture = torch.randint(0, 2, (9, 1), generator=generator).float()
    rois = torch.cat([picture, centres - sides / 2, centres + sides / 2], dim=1)
    expected = slow_roi_align(features, rois, 0.25, height, width, ratio, aligned)
    actual = roi_align(features, rois, 0.25, height, width, ratio, aligned)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1.3e-5)


@settings(max_examples=50)
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    # quarters: every sample's position is exact, so both sides agree on what lies outside
    corners=st.tuples(*[st.integers(-12, 36).map(lambda quarters: quarters / 4)] * 4),
    aligned=st.booleans(),
)
def test_roi_align_agrees_on_any_region_in_float64(size, corners, aligned):
    features = torch.arange(2.0 * size[0] * size[1], dtype=torch.float64).reshape(1, 2, *size)
    rois = torch.tensor([[0.0, *corners]], dtype=torch.float64)
    expected = slow_roi_align(features, rois, 1.0, 2, 2, 2, aligned)
    torch.testing.assert_close(roi_align(features, rois, 1.0, 2, 2, 2, aligned), expected)


def test_an_empty_aligned_region_gives_zeros():
    rois = torch.tensor([[0.0, 4.0, 4.0, 4.0, 9.0]])
    assert roi_align(torch.ones(1, 2, 8, 8), rois, 1.0, 2, 2, -1, True).count_nonzero() == 0


def test_gradients_reach_the_features():
    features = torch.randn(1, 2, 8, 8, requires_grad=True)
    roi_align(
        features, torch.tensor([[0.0, 1.0, 1.0, 5.0, 5.0]]), 1.0, 2, 2, 2, True
    ).sum().backward()
    # eight averages, each a weighting that adds up to one
    assert features.grad.sum().item() == pytest.approx(8.0, abs=1e-5)


def test_half_precision_features_keep_their_type():
    features = torch.ones(1, 1, 8, 8, dtype=torch.bfloat16)
    rois = torch.tensor([[0.0, 1.0, 1.0, 5.0, 5.0]], dtype=torch.bfloat16)
    pooled = roi_align(features, rois, 1.0, 2, 2, 2, True)
    assert pooled.dtype == torch.bfloat16
    assert pooled.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
