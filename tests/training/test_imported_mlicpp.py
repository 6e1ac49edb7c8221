"""MLIC++'s and UG-ICM's checkpoints become models that compute what the published networks do."""

import numpy as np
import pytest
import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional

from tests.pictures import scene
from tests.threads import one_thread
from tests.training.published_mlicpp import Published, shapes
from ugicm_client.commands.main import main
from ugicm_codec import Codec
from ugicm_codec.models.conditioning import EmbeddingOutput
from ugicm_training.errors import ForeignCheckpoint
from ugicm_training.export import export_model
from ugicm_training.imported.kinds import Kind, import_checkpoint
from ugicm_training.pretrained import load_start

# A network is the same to the last digits however many threads there are.
__all__ = ["one_thread"]

SIZES = {"n": 8, "m": 24, "slices": 3}
CASES = {"2024": None, "2023": None, "UG-ICM": (16, 3)}


def layout_of(case):
    return "2023" if case == "UG-ICM" else case


def checkpoint_of(case, seed=0):
    """Return a state dict as the published code saves it: parameters, buffers and tables."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes(layout_of(case), views=CASES[case], **SIZES).items():
        draws = torch.randn(shape, generator=generator)
        if name.endswith(".beta"):
            state[name] = 1.0 + 0.1 * draws
        elif name.endswith(".gamma"):
            # Half of them below the parametrisation's bound.
            state[name] = 0.1 * draws
        else:
            fan_in = draws[0].numel() if draws.ndim > 1 else 4
            state[name] = 1.4 * draws / fan_in**0.5
        if "norm" in name and name.endswith("weight"):
            state[name] = 1.0 + 0.2 * draws
    state["g_a.analysis_transform.6.weight"] *= 2.0
    for name in [name for name in state if name.endswith((".beta", ".gamma"))]:
        state[f"{name}_reparam.pedestal"] = torch.tensor([2.0**-36])
        state[f"{name}_reparam.lower_bound.bound"] = torch.tensor([2.0**-18])
    for index in range(SIZES["slices"]):
        state[f"local_context.{index}.relative_position_index"] = torch.zeros(25, 25).long()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bottleneck = EntropyBottleneck(SIZES["n"])
    bottleneck.quantiles.data += 4.0 * torch.rand(SIZES["n"], 1, 1, generator=generator) - 2.0
    bottleneck.update()
    tables = GaussianConditional([0.11, 1.0, 8.0])
    for prefix, model in (("entropy_bottleneck", bottleneck), ("gaussian_conditional", tables)):
        state |= {f"{prefix}.{name}": value for name, value in model.state_dict().items()}
    return state


def saved(state, path):
    torch.save({"epoch": 7, "state_dict": state, "loss": 0.5, "optimizer": {"state": {}}}, path)
    return path


@pytest.fixture(params=sorted(CASES))
def case(request):
    return request.param


@torch.no_grad()
def test_an_imported_network_is_the_published_one(case, tmp_path):
    state = checkpoint_of(case)
    imported = import_checkpoint(saved(state, tmp_path / "best.pth.tar"), 0.0067)
    # In double precision, so that no latent lies between two integers for one and not the other.
    model = imported.model.double().eval()
    plain = Published({name: value.double() for name, value in state.items()}, SIZES["slices"])
    generator = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, 48, 64, generator=generator, dtype=torch.float64)
    y = model.g_a(picture)
    same(y, plain.g_a(picture))
    z = model.h_a(y)
    same(z, plain.h_a(y))
    medians = state["entropy_bottleneck.quantiles"][:, 0, 1][:, None, None]
    z_hat = (z - medians).round() + medians
    hyper = model.h_s(z_hat)
    same(hyper, plain.h_s(z_hat))
    hyper = hyper[..., :3, :4]
    predicted = model.context(y, hyper)
    y_hat, scales, means = plain.slices_of(y, hyper)
    same(predicted.means, means)
    same(predicted.scales, scales)
    same(predicted.y_hat, y_hat)
    # Something was rounded, predicted, and differs from place to place.
    assert (y_hat - y).abs().max() > 0.3
    assert means.std() > 0.05
    for view in (0.0, 0.4, 1.0):
        decoded = model.g_s(y_hat, model.g_s.terms(torch.tensor([view], dtype=torch.float64)))
        same(decoded, plain.g_s(y_hat, view if case == "UG-ICM" else None))


def same(one, other):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_likelihoods_are_those_of_compressai_s_own_entropy_models(case, tmp_path):
    state = checkpoint_of(case)
    model = import_checkpoint(saved(state, tmp_path / "best.pth.tar"), 0.0067).model.eval()
    bottleneck = EntropyBottleneck(SIZES["n"])
    prefix = "entropy_bottleneck."
    bottleneck.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix) and not name.startswith(f"{prefix}_")
        },
        strict=False,
    )
    z = 3.0 * torch.randn(2, SIZES["n"], 4, 5, generator=torch.Generator().manual_seed(2))
    ours, theirs = (each(z, training=False) for each in (model.bottleneck, bottleneck))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-5)


def test_layouts_are_told_apart_by_shapes(tmp_path):
    configs = {
        case: import_checkpoint(saved(checkpoint_of(case), tmp_path / case), 0.01).model.config
        for case in CASES
    }
    assert (configs["2024"].entry_channels, configs["2024"].residual_widths) == (24, (224, 128))
    assert (configs["2023"].entry_channels, configs["2023"].residual_widths) == (8, ())
    assert configs["2023"].view_output is EmbeddingOutput.LINEAR
    assert (configs["UG-ICM"].view_features, configs["UG-ICM"].view_octaves) == (16, 3)
    assert configs["UG-ICM"].view_output is EmbeddingOutput.RECTIFIED


def test_views_are_all_the_human_one_until_they_are_trained(tmp_path):
    path = saved(checkpoint_of("2024"), tmp_path / "best.pth.tar")
    terms = import_checkpoint(path, 0.01).model.g_s.terms(torch.tensor([0.0, 0.5, 1.0]))
    assert len(terms) == 8
    assert all(not term.any() for term in terms)


def test_the_kind_and_the_file_stand_in_the_record(case, tmp_path):
    imported = import_checkpoint(saved(checkpoint_of(case), tmp_path / "best.pth.tar"), 0.0067)
    assert imported.kind is (Kind.UGICM if case == "UG-ICM" else Kind.MLICPP)
    assert imported.record["imported"]["from"] == imported.kind.value
    assert imported.record["imported"]["name"] == "best.pth.tar"
    assert imported.record["lambdas"] == [0.0067, 0.0067]


def without(state, name):
    return {other: value for other, value in state.items() if other != name}


REFUSED = {
    "a tensor is missing": (
        lambda state: without(state, "lrp_anchor.1.lrp_transform.2.bias"),
        "lrp_anchor.1.lrp_transform.2.bias is missing",
    ),
    "a tensor is unknown": (
        lambda state: state | {"refinement.weight": torch.zeros(2)},
        "refinement.weight is unknown",
    ),
    "a tensor has another shape": (
        lambda state: state | {"h_s.increase.4.weight": torch.zeros(36, 24, 5, 5)},
        r"h_s.increase.4.weight is \(36, 24, 5, 5\) instead of \(36, 24, 3, 3\)",
    ),
    "what sizes follow from is missing": (
        lambda state: without(state, "lrp_anchor.0.lrp_transform.0.weight"),
        "it has no lrp_anchor.0.lrp_transform.0.weight",
    ),
    "a number is none": (
        lambda state: state | {"h_a.reduction.0.bias": torch.full((8,), torch.nan)},
        "h_a.reduction.0.bias goes beyond 65504, or is not a number",
    ),
    "there is one slice": (
        lambda state: without(state, "local_context.1.qkv_proj.weight"),
        "two slices are the fewest, got 1",
    ),
    "slices do not divide the channels": (
        lambda state: without(state, "local_context.2.qkv_proj.weight"),
        "instead of",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_listed_in_one_line(what, tmp_path):
    change, message = REFUSED[what]
    path = saved(change(checkpoint_of("2024")), tmp_path / "best.pth.tar")
    with pytest.raises(ForeignCheckpoint, match=message) as refused:
        import_checkpoint(path, 0.01)
    assert str(refused.value).startswith(f"{path} is no MLIC++: ")
    assert "\n" not in str(refused.value)


def test_a_long_list_ends_with_how_much_more_there_is(tmp_path):
    state = {
        name: value
        for name, value in checkpoint_of("2024").items()
        if not name.startswith("global_intra_context.")
    }
    with pytest.raises(ForeignCheckpoint, match=r"keys.0.weight is missing; .*; and \d+ more$"):
        import_checkpoint(saved(state, tmp_path / "best.pth.tar"), 0.01)


def test_other_kinds_are_refused_with_those_that_are_known(tmp_path):
    state = {"encoder.0.weight": torch.zeros(1), "decoder.0.weight": torch.zeros(1)}
    with pytest.raises(ForeignCheckpoint) as refused:
        import_checkpoint(saved(state, tmp_path / "best.pth.tar"), 0.01)
    assert str(refused.value) == (
        f"{tmp_path / 'best.pth.tar'} is none of these: CompressAI bmshj2018-hyperprior "
        "checkpoint, MLIC++ checkpoint, UG-ICM checkpoint on MLIC++; it holds decoder, encoder"
    )


# UG-ICM has the layout of 2023.
@pytest.mark.parametrize("case", ["2024", "UG-ICM"])
def test_ugicm_models_import_makes_a_model_that_codes(case, tmp_path, capsys):
    checkpoint = saved(checkpoint_of(case), tmp_path / "best.pth.tar")
    model = tmp_path / "model.safetensors"
    assert main(["models", "import", str(checkpoint), "-o", str(model), "--lambda", "0.05"]) == 0
    assert "N=8, M=24" in capsys.readouterr().out
    codec = Codec.load(str(model))
    assert (codec.model.backbone, codec.model.quality_steps) == ("mlicpp", 1)
    assert codec.model.training == import_checkpoint(checkpoint, 0.05).record
    picture = scene(48, 80)
    human, machine = codec.decode_views(codec.encode(picture), ["human", "machine"])
    assert human.shape == picture.shape
    # A plain backbone has one view.
    assert np.array_equal(human, machine) == (case != "UG-ICM")


def test_ugicm_models_import_refuses_in_one_line_and_writes_nothing(tmp_path, capsys):
    checkpoint = saved({"a": torch.zeros(1)}, tmp_path / "best.pth.tar")
    output = tmp_path / "model.safetensors"
    assert main(["models", "import", str(checkpoint), "-o", str(output)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ugicm: ")
    assert error.count("\n") == 1
    assert not output.exists()


def test_ugicm_models_import_tells_wrong_usage_by_its_own_name(tmp_path, capsys):
    assert main(["models", "import", "--colour"]) == 2
    assert "ugicm models import --help tells more" in capsys.readouterr().err
    assert main(["models", "import", "--help"]) == 0
    assert "MLIC++" in capsys.readouterr().out


@torch.no_grad()
@pytest.mark.parametrize("case", ["2024", "UG-ICM"])
def test_a_start_from_the_model_file_is_the_imported_network(case, tmp_path):
    """But for the rounding of weights: every network between hyper-latents and parameters."""
    imported = import_checkpoint(saved(checkpoint_of(case), tmp_path / "best.pth.tar"), 0.05)
    model = imported.model.eval()
    picture = torch.from_numpy(scene(128, 128, 9)).permute(2, 0, 1)[None].float() / 255.0
    data = export_model(model, calibration=picture, quality_steps=1, training=imported.record)
    (tmp_path / "model.safetensors").write_bytes(data)
    start = load_start(tmp_path / "model.safetensors")
    assert start.model.gains.lambdas == (0.05, 0.05)
    assert torch.allclose(start.model.hyper_offsets(), model.hyper_offsets(), atol=1 / 16)
    y = model.g_a(picture)
    offsets = model.hyper_offsets()[:, None, None]
    z_hat = (model.h_a(y) - offsets).round() + offsets
    hyper, same_hyper = model.h_s(z_hat), start.model.h_s(z_hat)
    slices = model.context(y, hyper).y_hat.chunk(SIZES["slices"], 1)
    for index, part in enumerate(y.chunk(SIZES["slices"], 1)):
        one, other = (
            each.context.slices[index](part, list(slices[:index]), features)
            for each, features in ((model, hyper), (start.model, same_hyper))
        )
        for ours, theirs in ((one.means, other.means), (one.scales, other.scales)):
            assert (ours - theirs).abs().mean() < 0.02 * ours.std()
            assert (ours - theirs).abs().max() < 0.1 * ours.std()
