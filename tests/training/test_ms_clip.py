"""Meanings are compared at three scales, of the same pieces of both pictures."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.training.teachers import Linear
from ugicm_training.instances.masks import InstanceMasks
from ugicm_training.ms_clip import MsClip, Term

HEIGHT, WIDTH = 24, 32


def pictures(seed, count=2):
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def instances(*boxes):
    """Return rectangular instances from (owner, top, bottom, left, right)."""
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (_, top, bottom, left, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return InstanceMasks(masks, torch.tensor([box[0] for box in boxes], dtype=torch.int64))


SOME = ((0, 2, 12, 3, 9), (0, 10, 20, 15, 30), (1, 0, 24, 0, 16))


def compare(original, reconstruction, *boxes, teacher=None, seed=0, **settings):
    return MsClip(teacher or Linear(), **settings)(
        original,
        reconstruction,
        instances=instances(*boxes),
        generator=torch.Generator().manual_seed(seed),
    )


def test_identical_pictures_are_at_no_distance():
    terms = compare(pictures(0), pictures(0), *SOME)
    for distance in (terms.global_, terms.local, terms.instance, terms.total):
        torch.testing.assert_close(distance, torch.zeros(2), atol=1e-6, rtol=0)


def test_different_pictures_are_apart_at_every_scale():
    terms = compare(pictures(0), pictures(1), *SOME)
    for distance in (terms.global_, terms.local, terms.instance):
        assert (distance > 0.01).all()


def test_the_total_is_the_sum_of_the_terms():
    terms = compare(pictures(0), pictures(1), *SOME)
    torch.testing.assert_close(terms.total, terms.global_ + terms.local + terms.instance)


def test_the_whole_pictures_distance_is_one_minus_the_cosine():
    teacher = Linear()
    terms = compare(pictures(0), pictures(1), teacher=teacher, terms={Term.GLOBAL})
    small = [
        functional.interpolate(pictures(seed), (8, 8), mode="bilinear", antialias=True)
        for seed in (0, 1)
    ]
    cosine = functional.cosine_similarity(*(teacher.embed(each) for each in small))
    torch.testing.assert_close(terms.total, 1.0 - cosine)


@pytest.mark.parametrize("seed", range(8))
def test_the_local_crop_is_the_same_of_both(seed):
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    original = torch.stack([rows, columns, rows + columns])[None].repeat(5, 1, 1, 1) / 64.0
    teacher = Linear(side=12)
    compare(original, original + 0.125, teacher=teacher, terms={Term.LOCAL}, seed=seed)
    of_original, of_reconstruction = teacher.shown
    # Half of the shorter side is the teacher's side: nothing is resized, so corners can be read.
    torch.testing.assert_close(of_reconstruction, of_original + 0.125)
    corners = of_original[:, :2, 0, 0] * 64.0
    for crop, (top, left) in zip(of_original, corners.round().int().tolist(), strict=True):
        expected = original[0, :, top : top + 12, left : left + 12]
        torch.testing.assert_close(crop, expected)


def test_pictures_and_steps_have_crops_of_their_own():
    corners = set()
    ramp = torch.arange(HEIGHT * WIDTH).reshape(1, 1, HEIGHT, WIDTH).repeat(6, 3, 1, 1) / 1000.0
    for seed in range(4):
        teacher = Linear(side=12)
        compare(ramp, ramp, teacher=teacher, terms={Term.LOCAL}, seed=seed)
        corners |= set(teacher.shown[0][:, 0, 0, 0].tolist())
    assert len(corners) > 12


def test_the_same_generator_gives_the_same_crops():
    first, again, other = (
        compare(pictures(0), pictures(1), terms={Term.LOCAL}, seed=seed).local for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_share_of_one_crops_the_largest_square():
    teacher = Linear(side=HEIGHT)
    compare(pictures(0), pictures(0), teacher=teacher, terms={Term.LOCAL}, local_share=1.0)
    assert (teacher.shown[0][:, :, :, 0].unsqueeze(3) == pictures(0)).all(2).any()


def test_gradients_reach_the_decoder_and_neither_the_teacher_nor_the_original():
    teacher = Linear()
    decoder = nn.Conv2d(3, 3, 3, padding=1)
    original = pictures(0).requires_grad_()
    latents = pictures(1)
    compare(original, decoder(latents), *SOME, teacher=teacher).total.sum().backward()
    assert all(each.grad.abs().sum() > 0 for each in decoder.parameters())
    assert teacher.weights.grad is None
    assert original.grad is None


@pytest.mark.parametrize("term", list(Term))
def test_every_scale_alone_sends_gradients(term):
    reconstruction = pictures(1).requires_grad_()
    compare(pictures(0), reconstruction, *SOME, terms={term}).total.sum().backward()
    assert reconstruction.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "terms",
    [{Term.GLOBAL}, {Term.LOCAL}, {Term.INSTANCE}, {Term.GLOBAL, Term.INSTANCE}, set(Term)],
    ids=lambda terms: "+".join(sorted(term.value for term in terms)),
)
def test_each_term_can_be_switched_off(terms):
    teacher = Linear()
    whole = compare(pictures(0), pictures(1), *SOME)
    some = compare(pictures(0), pictures(1), *SOME, teacher=teacher, terms=terms)
    pieces = {Term.GLOBAL: 2, Term.LOCAL: 2, Term.INSTANCE: 3}
    assert [len(shown) for shown in teacher.shown] == [sum(pieces[term] for term in terms)] * 2
    for term, name in (
        (Term.GLOBAL, "global_"),
        (Term.LOCAL, "local"),
        (Term.INSTANCE, "instance"),
    ):
        expected = getattr(whole, name) if term in terms else torch.zeros(2)
        torch.testing.assert_close(getattr(some, name), expected)


def test_instances_are_summed_over_their_picture():
    def distances(*boxes):
        return compare(pictures(0), pictures(1), *boxes, terms={Term.INSTANCE}).instance

    torch.testing.assert_close(distances(*SOME), sum(distances(box) for box in SOME))
    assert distances(SOME[0])[1] == 0


def test_pictures_without_instances_have_no_instance_term():
    terms = compare(pictures(0), pictures(1))
    assert torch.equal(terms.instance, torch.zeros(2))
    torch.testing.assert_close(terms.total, terms.global_ + terms.local)
    alone = compare(pictures(0), pictures(1), terms={Term.INSTANCE})
    assert torch.equal(alone.total, torch.zeros(2))


def test_what_lies_outside_its_mask_is_nothing_to_an_instance():
    reconstruction = pictures(1)
    outside = ~instances(SOME[0]).masks[0]
    changed = torch.where(outside, 0.0, reconstruction)
    first, second = (
        compare(pictures(0), each, SOME[0], terms={Term.INSTANCE}).instance
        for each in (reconstruction, changed)
    )
    torch.testing.assert_close(first, second)


def test_an_instance_sits_in_a_square_of_the_teachers_mean_colour():
    teacher = Linear(side=16)
    original = torch.ones(1, 3, HEIGHT, WIDTH)
    compare(original, original, (0, 4, 12, 5, 21), teacher=teacher, terms={Term.INSTANCE})
    shown = teacher.shown[0][0]
    # 8x16 in a square of 16: four rows above, four below.
    torch.testing.assert_close(shown[:, 4:12], torch.ones(3, 8, 16))
    mean = torch.tensor(teacher.mean_colour)[:, None, None]
    torch.testing.assert_close(shown[:, :4], mean.expand(3, 4, 16))
    torch.testing.assert_close(shown[:, 12:], mean.expand(3, 4, 16))


@pytest.mark.parametrize("box", [(0, 0, 1, 0, 1), (1, 23, 24, 31, 32), (1, 10, 11, 0, 32)])
def test_tiny_and_thin_instances_give_numbers(box):
    reconstruction = pictures(1).requires_grad_()
    terms = compare(pictures(0), reconstruction, box, teacher=Linear(side=64))
    terms.total.sum().backward()
    assert terms.total.isfinite().all()
    assert reconstruction.grad.isfinite().all()


def test_a_tiny_instance_is_enlarged_eightfold_at_most():
    teacher = Linear(side=64)
    original = torch.ones(1, 3, HEIGHT, WIDTH)
    compare(original, original, (0, 5, 6, 5, 6), teacher=teacher, terms={Term.INSTANCE})
    shown = teacher.shown[0][0]
    mean = torch.tensor(teacher.mean_colour)[:, None, None]
    changed = ((shown - mean).abs() > 1e-3).any(0)
    assert 0 < changed.any(0).sum() <= 16  # bilinear: one pixel reaches twice its size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terms": set()}, "at least one term"),
        ({"local_share": 0.0}, r"lies in \(0, 1\], got 0.0"),
        ({"local_share": 1.5}, r"lies in \(0, 1\], got 1.5"),
    ],
)
def test_settings_without_a_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MsClip(Linear(), **arguments)


def test_pictures_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"the original is \(2, 3, 24, 32\), the reconstruct"):
        compare(pictures(0), pictures(1)[:, :, 1:])


def test_masks_of_another_size_are_refused():
    wrong = InstanceMasks(torch.ones(1, 5, 5, dtype=torch.bool), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"the masks are \(5, 5\), the pictures \(24, 32\)"):
        MsClip(Linear())(pictures(0), pictures(1), instances=wrong, generator=torch.Generator())


def test_the_instance_term_does_not_do_without_masks():
    with pytest.raises(ValueError, match="needs the instances of the batch"):
        MsClip(Linear())(pictures(0), pictures(1), instances=None, generator=torch.Generator())


def test_the_other_terms_do():
    loss = MsClip(Linear(), terms={Term.GLOBAL, Term.LOCAL})
    terms = loss(pictures(0), pictures(1), instances=None, generator=torch.Generator())
    assert (terms.total > 0).all()
