"""MLIC++'s networks have the published sizes, and no state that a call could leave behind."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import pytest
import torch

from tests.threads import one_thread
from ugicm_codec.entropy.mlicpp.coder import CONTEXT_SIDE
from ugicm_codec.models.conditioning import EmbeddingOutput
from ugicm_codec.models.mlicpp.config import MlicppConfig
from ugicm_codec.models.mlicpp.context import ContextModel
from ugicm_codec.models.mlicpp.global_context import linear_attention
from ugicm_codec.models.mlicpp.local_context import LocalContext
from ugicm_codec.models.mlicpp.transforms import (
    MARGIN,
    Analysis,
    ConditionalSynthesis,
    HyperAnalysis,
    HyperSynthesis,
    Synthesis,
)

# Results are equal to the last bit on one thread.
__all__ = ["one_thread"]

REVISED = MlicppConfig.revised()
# The layout of 2023, with the view's network of the published UG-ICM.
ORIGINAL = replace(
    REVISED, entry_channels=192, residual_widths=(), view_features=512, view_octaves=10
)
TINY = MlicppConfig(
    channels=8,
    latent_channels=12,
    slices=3,
    view_features=8,
    view_octaves=2,
    entry_channels=12,
    channel_widths=(12, 8),
    parameter_widths=(24, 16, 12),
    residual_widths=(12, 8),
)


def num_parameters(*modules):
    return sum(value.numel() for module in modules for value in module.parameters())


def counts(config):
    """Return the parameters of each part, in millions."""
    with torch.device("meta"):
        context = ContextModel(config)
        parts = {
            "analysis": num_parameters(Analysis(config)),
            "synthesis": num_parameters(Synthesis(config)),
            "views": num_parameters(ConditionalSynthesis(config))
            - num_parameters(Synthesis(config)),
            "hyper-analysis": num_parameters(HyperAnalysis(config)),
            "hyper-synthesis": num_parameters(HyperSynthesis(config)),
        }
    for name, modules in {
        "local": ["local"],
        "channel": ["channel"],
        "inter": ["inter"],
        "intra": ["intra"],
        "entropy parameters": ["anchor_parameters", "nonanchor_parameters"],
        "residual prediction": ["anchor_residual", "nonanchor_residual"],
    }.items():
        found = [getattr(each, module) for each in context.slices for module in modules]
        parts[name] = num_parameters(*(module for module in found if module is not None))
    return {name: number / 1e6 for name, number in parts.items()}


def test_the_revised_layout_has_the_published_number_of_parameters_in_every_part():
    found = counts(REVISED)
    views = found.pop("views")
    assert {name: round(number, 2) for name, number in found.items()} == {
        "analysis": 4.40,
        "synthesis": 14.70,
        "hyper-analysis": 1.88,
        "hyper-synthesis": 16.69,
        "local": 0.76,
        "channel": 5.81,
        "inter": 4.63,
        "intra": 0.66,
        "entropy parameters": 8.06,
        "residual prediction": 25.90,
    }
    # With the factorised prior's 0.01 M.
    assert sum(found.values()) == pytest.approx(83.49, abs=0.01)
    assert views < 0.6


def test_the_layout_of_2023_has_the_published_number_with_ug_icm_s_views():
    found = counts(ORIGINAL)
    assert round(found["views"], 2) == 1.06
    assert sum(found.values()) == pytest.approx(117.77, abs=0.01)


def test_the_small_variant_is_small():
    assert sum(counts(MlicppConfig.small()).values()) < 4.0


@pytest.mark.parametrize("config", [REVISED, MlicppConfig.small(), ORIGINAL, TINY])
def test_a_config_is_the_same_after_json(config):
    assert MlicppConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("channels", 257, "channels is an integer from 1 to 256, got 257"),
        ("channels", True, "channels is an integer from 1 to 256, got True"),
        ("slices", 0, "slices is an integer from 1 to 64, got 0"),
        ("slices", 7, "12 latent channels make no 7 slices of even width"),
        ("slices", 12, "12 latent channels make no 12 slices of even width"),
        ("channel_widths", [8], "channel_widths are (2,) integers to 4096, got (8,)"),
        ("residual_widths", [8, 0], "residual_widths are (0, 2) integers to 4096, got (8, 0)"),
        ("two_ended", 1, "two_ended is true or false, got 1"),
        ("view_output", "clipped", "'clipped' is not a valid EmbeddingOutput"),
        ("depth", 3, "of the config, depth is missing or unknown"),
    ],
)
def test_a_config_that_makes_no_network_is_refused(name, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MlicppConfig.from_json(TINY.to_json() | {name: value})


@pytest.mark.parametrize("field", [field.name for field in fields(MlicppConfig)])
def test_a_config_with_a_field_missing_is_refused(field):
    values = TINY.to_json()
    del values[field]
    with pytest.raises(ValueError, match=f"{field} is missing or unknown"):
        MlicppConfig.from_json(values)


def seeded(factory, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return factory().eval()


@pytest.fixture(scope="module")
def context():
    return seeded(lambda: ContextModel(TINY))


def latents_of(height, width, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    y = 4.0 * torch.randn(batch, TINY.latent_channels, height, width, generator=generator)
    hyper = torch.randn(batch, 2 * TINY.latent_channels, height, width, generator=generator)
    return y, hyper


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5), (4, 4), (7, 2)])
def test_any_size_is_predicted(context, size):
    y, hyper = latents_of(*size)
    predicted = context(y, hyper)
    assert predicted.y_hat.shape == predicted.scales.shape == predicted.means.shape == y.shape
    assert predicted.y_hat.isfinite().all()
    # Rounded to at most half a step, and moved by at most half a step.
    assert (predicted.y_hat - y).abs().max() <= 1.0
    rounded = (y - predicted.means).round() + predicted.means
    assert (predicted.y_hat - rounded).abs().max() <= 0.5


@torch.no_grad()
def test_larger_pictures_than_the_contexts_see_are_refused(context):
    y, hyper = latents_of(1, CONTEXT_SIDE + 1)
    with pytest.raises(ValueError, match="at most 128x128 latents, got 1x129"):
        context(y, hyper)


@torch.no_grad()
@pytest.mark.parametrize("index", range(TINY.slices))
@pytest.mark.parametrize("half", ["anchors", "non-anchors"])
def test_parameters_depend_on_nothing_that_is_coded_later(context, index, half):
    """A change of some latents leaves all means and scales up to and including theirs as they are.

    Encoder and decoder would otherwise not agree.
    """
    y, hyper = latents_of(4, 5)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    is_anchor = (rows + columns) % 2 == 1
    changed_at = is_anchor if half == "anchors" else ~is_anchor
    width = TINY.slice_channels
    of_slice = slice(index * width, (index + 1) * width)
    other = y.clone()
    other[:, of_slice][..., changed_at] += 3.0
    before, after = context(y, hyper), context(other, hyper)
    same = torch.zeros(y.shape, dtype=torch.bool)
    same[:, : of_slice.start] = True
    same[:, of_slice][..., is_anchor] = True
    if half == "non-anchors":
        same[:, of_slice] = True
    for one, other_one in ((before.means, after.means), (before.scales, after.scales)):
        assert torch.equal(one[same], other_one[same])
        later = ~same
        # And it does tell what comes later something, but for the end.
        assert not later.any() or (one[later] - other_one[later]).abs().max() > 1e-4


@torch.no_grad()
def test_every_position_of_an_earlier_slice_tells_every_later_one_something(context):
    y, hyper = latents_of(12, 12)
    other = y.clone()
    other[:, : TINY.slice_channels, 0, 1] += 40.0
    means = context(y, hyper).means
    moved = (context(other, hyper).means - means).abs()[:, -TINY.slice_channels :]
    # The far corner lies beyond what windows and convolutions reach.
    assert moved[..., -1, -1].max() > 0


@torch.no_grad()
def test_pictures_of_a_batch_do_not_see_each_other(context):
    y, hyper = latents_of(4, 6, batch=3)
    together = context(y, hyper).y_hat
    for item in range(3):
        alone = context(y[item : item + 1], hyper[item : item + 1]).y_hat
        torch.testing.assert_close(together[item : item + 1], alone, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_sizes_mixed_over_threads_give_what_each_gives_alone(context):
    jobs = [
        latents_of(height, width, seed)
        for seed, (height, width) in enumerate([(2, 3), (6, 4), (1, 1), (5, 5), (2, 8), (6, 4)] * 3)
    ]
    alone = [context(*job).y_hat for job in jobs]

    def run(job):
        with torch.inference_mode():
            return context(*job).y_hat

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, jobs))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


@torch.no_grad()
def test_linear_attention_is_attention_with_the_whole_matrix():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 6, 5, generator=generator)
    keys, values = torch.randn(2, 2, 6, 4, generator=generator)
    out = linear_attention(queries, keys, values, heads=2)
    for picture in range(2):
        for head in range(2):
            channels = range(3 * head, 3 * head + 3)
            for position in range(5):
                query = queries[picture, list(channels), position].softmax(0)
                weights = [
                    sum(query[c - 3 * head] * keys[picture, c].softmax(0)[source] for c in channels)
                    for source in range(4)
                ]
                # A query's weights over all keys sum to 1, as in attention.
                assert float(sum(weights)) == pytest.approx(1.0, abs=1e-5)
                for channel in channels:
                    expected = sum(
                        float(w * values[picture, channel, s]) for s, w in enumerate(weights)
                    )
                    assert float(out[picture, channel, position]) == pytest.approx(
                        expected, abs=1e-5
                    )


def test_without_keys_attention_finds_nothing():
    out = linear_attention(torch.randn(1, 4, 3), torch.empty(1, 4, 0), torch.empty(1, 4, 0), 2)
    assert torch.equal(out, torch.zeros(1, 4, 3))


@torch.no_grad()
def test_a_window_s_anchors_count_and_positions_beyond_it_do_not():
    local = seeded(lambda: LocalContext(4))
    x = torch.zeros(1, 4, 9, 9)
    x[..., 0::2, 1::2] = torch.randn(1, 4, 5, 4, generator=torch.Generator().manual_seed(0))
    before = local(x)
    x[:, 0, 4, 3] += 2.0
    moved = (local(x) - before).abs().amax(dim=(0, 1)) > 1e-6
    near = torch.zeros(9, 9, dtype=torch.bool)
    near[2:7, 1:6] = True
    assert torch.equal(moved, near)


@pytest.fixture(scope="module")
def synthesis():
    made = seeded(lambda: ConditionalSynthesis(replace(TINY, two_ended=True)))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for term in made.view_terms:
            term.weight.normal_(std=0.3)
        for parameter in made.machine.parameters():
            parameter.mul_(1.1)
    return made


@torch.no_grad()
def test_a_batch_can_mix_views(synthesis):
    y_hat = torch.randn(3, 12, 2, 3, generator=torch.Generator().manual_seed(0))
    views = torch.tensor([0.0, 0.5, 1.0])
    one_end = synthesis.at(0.0)
    together = one_end(y_hat, synthesis.terms(views))
    assert together.shape == (3, 3, 32, 48)
    for item in range(3):
        alone = one_end(y_hat[item : item + 1], synthesis.terms(views[item : item + 1]))
        torch.testing.assert_close(together[item : item + 1], alone, rtol=1e-4, atol=1e-4)
    # The same latents for other views are other pictures.
    of_one = one_end(y_hat[:1].expand(3, -1, -1, -1), synthesis.terms(views))
    assert (of_one[0] - of_one[1]).abs().max() > 1e-2
    assert (of_one[1] - of_one[2]).abs().max() > 1e-2


@torch.no_grad()
def test_either_end_has_its_own_weights_and_between_lies_their_mixture(synthesis):
    y_hat = torch.randn(1, 12, 2, 2, generator=torch.Generator().manual_seed(0))
    terms = synthesis.terms(torch.tensor([0.5]))
    human, middle, machine = (synthesis.at(view)(y_hat, terms) for view in (0.0, 0.5, 1.0))
    assert torch.equal(human, synthesis(y_hat, terms))
    assert torch.equal(machine, synthesis.machine(y_hat, terms))
    assert (middle - human).abs().max() > 1e-2
    weights = synthesis.weights(0.5)
    name = "blocks.0.first.weight"
    mean = (synthesis.blocks[0].first.weight + synthesis.machine.blocks[0].first.weight) / 2
    torch.testing.assert_close(weights[name], mean)


@torch.no_grad()
def test_a_rectified_embedding_is_the_linear_one_without_its_negatives():
    linear = seeded(lambda: ConditionalSynthesis(TINY)).embedding
    rectified = seeded(
        lambda: ConditionalSynthesis(replace(TINY, view_output=EmbeddingOutput.RECTIFIED))
    ).embedding
    views = torch.tensor([0.0, 0.3, 1.0])
    assert linear(views).min() < 0
    assert torch.equal(rectified(views), linear(views).clamp(min=0))


@torch.no_grad()
def test_the_transforms_reach_no_further_than_a_tile_s_margin():
    analysis, synthesis = seeded(lambda: Analysis(TINY)), seeded(lambda: ConditionalSynthesis(TINY))
    terms = synthesis.terms(torch.tensor([0.0]))
    picture = torch.rand(1, 3, 16 * 17, 16 * 17, generator=torch.Generator().manual_seed(0))
    other = picture.clone()
    other[..., 128:144, 128:144] = 1.0 - other[..., 128:144, 128:144]
    moved = (analysis(other) - analysis(picture)).abs().amax(dim=(0, 1)) > 0
    assert reach(moved, 8, 8) <= 4 <= MARGIN
    y = analysis(picture)
    changed = y.clone()
    changed[..., 8, 8] += 10.0
    moved = (synthesis(changed, terms) - synthesis(y, terms)).abs().amax(dim=(0, 1)) > 0
    latents = moved.unflatten(0, (17, 16)).any(1).unflatten(1, (17, 16)).any(2)
    assert 5 <= reach(latents, 8, 8) <= MARGIN


def reach(moved, row, column):
    rows, columns = moved.nonzero(as_tuple=True)
    return int(max((rows - row).abs().max(), (columns - column).abs().max()))
