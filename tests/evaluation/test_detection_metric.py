"""Average precision against pycocotools' own accumulation, on random detections."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ugicm_analyzers.masks import mask_from_pixels
from ugicm_evaluation.metrics.detection import (
    Overlap,
    average_precision,
    match,
    mean_average_precision,
    pool,
    truth_from_detections,
)
from ugicm_evaluation.metrics.instances import instances

THRESHOLDS = np.linspace(0.5, 0.95, 10)
PICTURES = 12


def boxes(random, count):
    corners = random.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + random.uniform(5, 40, (count, 2))], 1)


def coco(images, annotations, categories):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": image} for image in images],
        "annotations": annotations,
        "categories": [{"id": category} for category in categories],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


@pytest.fixture(params=[0, 1, 2])
def found(request):
    return scenes(request.param)


def scenes(seed, *, levels=10**6):
    """Return objects of 4 categories, some of them crowds, and detections near and far of them.

    Args:
        levels: of scores; with few of them, many are equal.
    """
    random = np.random.default_rng(seed)
    annotations, answers = [], {}
    for image in range(100, 100 + PICTURES):
        count = random.integers(0, 8)
        objects, categories = boxes(random, count), random.integers(1, 5, count)
        for box, category in zip(objects, categories, strict=True):
            width, height = box[2:] - box[:2]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(category),
                    "bbox": [*box[:2], width, height],
                    "area": width * height,
                    "iscrowd": int(random.random() < 0.1),
                }
            )
        near = objects + random.normal(0.0, 3.0, objects.shape)
        far = boxes(random, random.integers(0, 12))
        rows = np.concatenate([near, far])
        scores = random.integers(1, levels, (len(rows), 1)) / levels
        guesses = random.integers(1, 5, len(far))
        labels = np.concatenate([categories, guesses])[:, None]
        answers[image] = np.concatenate([rows, scores, labels], 1).astype(np.float32)
    return annotations, answers


def reference(annotations, answers, draw):
    """Return pycocotools' mean average precision of a set in which pictures may be repeated."""
    repeated, detections, images = [], [], []
    for (image, rows), times in zip(answers.items(), draw, strict=True):
        for copy in range(times):
            name = image * 1000 + copy
            images.append(name)
            detections += [
                [name, r[0], r[1], r[2] - r[0], r[3] - r[1], r[4], r[5]]
                for r in rows.astype(np.float64)
            ]
            repeated += [
                {**one, "image_id": name, "id": len(repeated) + 1 + index}
                for index, one in enumerate(a for a in annotations if a["image_id"] == image)
            ]
    truth = coco(images, repeated, range(1, 5))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(np.array(detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:2]


def assert_equal(annotations, answers, draw):
    matches = match(coco(answers, annotations, range(1, 5)), answers, thresholds=THRESHOLDS)
    ours = mean_average_precision(matches, draw[None])[:, 0]
    mean, at_50 = reference(annotations, answers, draw)
    assert ours.mean() == pytest.approx(mean, abs=1e-12)
    assert ours[0] == pytest.approx(at_50, abs=1e-12)


@pytest.mark.parametrize("levels", [20, 10**6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_set_has_the_precision_that_pycocotools_finds(seed, levels):
    assert_equal(*scenes(seed, levels=levels), np.ones(PICTURES, np.int64))


# Where scores are equal, pycocotools' order of repeated pictures is another; so none are.
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_every_draw_has_the_precision_that_pycocotools_finds(found, seed):
    random = np.random.default_rng(seed)
    assert_equal(*found, random.multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES)))


def test_pooled_categories_count_as_one(found):
    annotations, answers = found
    categories = match(coco(answers, annotations, range(1, 5)), answers, thresholds=[0.5])
    together = pool(categories, thresholds=1, pictures=PICTURES)
    assert together.objects.sum() == sum(one.objects.sum() for one in categories)
    assert together.hit.sum() == sum(one.hit.sum() for one in categories)
    assert (np.diff(together.score) <= 0).all()


def test_a_detector_agrees_with_itself_wholly(found):
    _, answers = found
    own = truth_from_detections(answers, least_score=0.5)
    sure = {image: rows[rows[:, 4] >= 0.5] for image, rows in answers.items()}
    pooled = pool(match(own, sure, thresholds=[0.5]), thresholds=1, pictures=PICTURES)
    draws = np.ones((1, PICTURES), np.int64)
    assert average_precision(pooled, draws)[0, 0] == pytest.approx(1.0)


def test_what_is_found_of_a_category_that_the_truth_has_not_is_wrong():
    right, wrong = [0, 0, 9, 9, 0.8, 1], [50, 50, 59, 59, 0.9, 2]
    own = truth_from_detections({1: np.array([right], np.float32)}, least_score=0.5)
    categories = match(own, {1: np.array([right, wrong], np.float32)}, thresholds=[0.5])
    draws = np.ones((1, 1), np.int64)
    pooled = pool(categories, thresholds=1, pictures=1)
    assert average_precision(pooled, draws)[0, 0] == pytest.approx(0.5)
    # The mean over categories is over those that there are, as in pycocotools.
    assert mean_average_precision(categories, draws)[0, 0] == pytest.approx(1.0)


def test_no_detection_finds_nothing(found):
    annotations, answers = found
    none = {image: np.zeros((0, 6), np.float32) for image in answers}
    matches = match(coco(answers, annotations, range(1, 5)), none, thresholds=[0.5])
    draws = np.ones((1, PICTURES), np.int64)
    assert mean_average_precision(matches, draws)[0, 0] == 0.0


def test_a_draw_without_objects_has_no_precision():
    answers = {1: np.array([[0, 0, 9, 9, 0.9, 1]], np.float32), 2: np.zeros((0, 6), np.float32)}
    own = truth_from_detections(answers, least_score=0.5)
    (matches,) = match(own, answers, thresholds=[0.5])
    found = average_precision(matches, np.array([[1, 1], [0, 2]]))
    assert found[0, 0] == 1.0
    assert np.isnan(found[0, 1])


def masks_of_scene(seed):
    """Return annotations with masks, and instances near them, in pictures of 50x60."""
    random = np.random.default_rng(seed)
    annotations, answers = [], {}
    for image in range(1, 8):
        rows, runs = [], []
        for _ in range(random.integers(0, 5)):
            left, top = random.integers(0, 35, 2)
            width, height = random.integers(5, 25, 2)
            mask = np.zeros((50, 60), np.uint8)
            mask[top : top + height, left : left + width] = 1
            mask[top : top + height // 2, left : left + width // 2] = 0
            category = int(random.integers(1, 3))
            runs_of_truth = coco_masks.encode(np.asfortranarray(mask))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "segmentation": runs_of_truth,
                    "bbox": coco_masks.toBbox(runs_of_truth).tolist(),
                    "area": float(coco_masks.area(runs_of_truth)),
                    "iscrowd": 0,
                }
            )
            near = np.roll(mask, random.integers(-4, 5, 2), (0, 1)).astype(bool)
            runs.append(mask_from_pixels(near).runs)
            rows.append([left, top, left + width, top + height, random.random(), category])
        table = np.array(rows, np.float32).reshape(-1, 6)
        answers[image] = instances(table, runs, height=50, width=60)
    return annotations, answers


@pytest.mark.parametrize("seed", range(4))
def test_masks_have_the_precision_that_pycocotools_finds(seed):
    annotations, answers = masks_of_scene(seed)
    truth = coco(answers, annotations, range(1, 3))
    for image in truth.dataset["images"]:
        image.update(height=50, width=60)
    results = [
        {"image_id": image, "category_id": int(one["category"]), "score": float(one["score"])}
        | {"segmentation": {"size": [50, 60], "counts": bytes(one["counts"])}}
        for image, found in answers.items()
        for one in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    draws = np.ones((1, len(answers)), np.int64)
    matches = match(truth, answers, thresholds=THRESHOLDS, overlap=Overlap.MASKS)
    ours = mean_average_precision(matches, draws)[:, 0]
    assert 0.0 < ours.mean() < 1.0
    assert [ours.mean(), ours[0]] == pytest.approx(evaluation.stats[:2], abs=1e-12)


def test_a_detector_agrees_with_its_own_masks():
    _, answers = masks_of_scene(0)
    own = truth_from_detections(answers, least_score=0.0)
    pooled = pool(
        match(own, answers, thresholds=[0.95], overlap=Overlap.MASKS),
        thresholds=1,
        pictures=len(answers),
    )
    draws = np.ones((1, len(answers)), np.int64)
    assert average_precision(pooled, draws)[0, 0] == pytest.approx(1.0)


def test_draws_are_scored_alike_however_many_there_are():
    annotations, answers = scenes(3)
    random = np.random.default_rng(0)
    draws = random.multinomial(PICTURES, np.full(PICTURES, 1 / PICTURES), 300)
    matches = match(coco(answers, annotations, range(1, 5)), answers, thresholds=[0.5])
    together = mean_average_precision(matches, draws)
    alone = [mean_average_precision(matches, draw[None])[0, 0] for draw in draws[125:131]]
    assert together[0, 125:131].tolist() == alone
