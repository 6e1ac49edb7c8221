"""Metrics of pixels against implementations of their own."""

import math

import numpy as np
import pytest
import pytorch_msssim
import torch
from safetensors.torch import save_file
from scipy.ndimage import correlate1d

import torchvision_cpu
from tests.pictures import noise, scene
from ugicm_evaluation.errors import BadConfig
from ugicm_evaluation.metrics.fidelity import ms_ssim, ssim
from ugicm_evaluation.metrics.perceptual import open_lpips

ORIGINAL = scene(180, 204)
OTHER = np.clip(ORIGINAL.astype(int) + noise(180, 204) // 6 - 20, 0, 255).astype(np.uint8)


def tensor(picture):
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].double()


def test_ssim_is_another_packages():
    expected = pytorch_msssim.ssim(tensor(OTHER), tensor(ORIGINAL), data_range=255)
    # Its window is in single precision.
    assert ssim(OTHER, ORIGINAL) == pytest.approx(float(expected), abs=1e-5)


def similarity_and_structure(one, other):
    """Return the means of SSIM and of its contrast and structure alone, by the paper's formula."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blurred(values):
        return correlate1d(correlate1d(values, window, 0), window, 1)[5:-5, 5:-5]

    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_one, mean_other = blurred(one), blurred(other)
    variances = blurred(one**2) - mean_one**2 + blurred(other**2) - mean_other**2
    covariance = blurred(one * other) - mean_one * mean_other
    structure = (2 * covariance + second) / (variances + second)
    light = (2 * mean_one * mean_other + first) / (mean_one**2 + mean_other**2 + first)
    return (light * structure).mean(), structure.mean()


def test_ms_ssim_is_the_papers_formula():
    found = []
    for channel in range(3):
        one, other = (each[..., channel].astype(float) for each in (OTHER, ORIGINAL))
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            whole, structure = similarity_and_structure(one, other)
            product *= (whole if scale == 4 else structure) ** weight
            # Sides that are odd are padded with zeros that the average does count.
            one, other = (
                np.pad(each, [(side % 2, side % 2) for side in each.shape]) for each in (one, other)
            )
            one, other = (
                each[: each.shape[0] // 2 * 2, : each.shape[1] // 2 * 2]
                .reshape(each.shape[0] // 2, 2, each.shape[1] // 2, 2)
                .mean((1, 3))
                for each in (one, other)
            )
        found.append(product)
    assert ms_ssim(OTHER, ORIGINAL) == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize(("metric", "side"), [(ssim, 11), (ms_ssim, 161)])
def test_a_picture_that_a_window_does_not_fit_has_no_figure(metric, side):
    assert metric(scene(side, side), scene(side, side)) == pytest.approx(1.0)
    assert math.isnan(metric(scene(side - 1, 200), scene(side - 1, 200)))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    torchvision_cpu.ensure()
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1().eval()
    folder = tmp_path_factory.mktemp("lpips")
    state = network.state_dict()
    save_file(state, folder / "squeeze.safetensors")
    torch.save(state, folder / "squeeze.pth")
    return folder, network


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_lpips_is_the_papers_formula(backbone, suffix):
    folder, network = backbone
    import lpips

    metric = open_lpips("squeeze", folder / f"squeeze{suffix}")
    layers = torch.load(
        f"{lpips.__path__[0]}/weights/v0.1/squeeze.pth", map_location="cpu", weights_only=True
    )
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    x, y = ((tensor(each).float() / 255 - mean) / deviation for each in (OTHER, ORIGINAL))
    expected, layer = 0.0, 0
    with torch.inference_mode():
        for index, module in enumerate(network.features):
            x, y = module(x), module(y)
            if index in (1, 4, 7, 9, 10, 11, 12):
                unit = [each / each.norm(dim=1, keepdim=True) for each in (x, y)]
                weights = layers[f"lin{layer}.model.1.weight"]
                expected += float(((unit[0] - unit[1]) ** 2 * weights).sum(1).mean())
                layer += 1
    assert layer == 7
    # lpips rounds the deviations of its own range.
    assert metric.measure(OTHER, ORIGINAL) == pytest.approx(expected, rel=5e-3)
    assert metric.measure(ORIGINAL, ORIGINAL) == 0.0


def test_a_backbone_that_is_none_is_named(backbone, tmp_path):
    with pytest.raises(BadConfig, match=r"absent\.pth is missing: LPIPS needs torchvision's Alex"):
        open_lpips("alex", tmp_path / "absent.pth")
    with pytest.raises(BadConfig, match=r"squeeze\.pth holds no AlexNet: "):
        open_lpips("alex", backbone[0] / "squeeze.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(BadConfig, match=r"text\.pth holds no AlexNet: "):
        open_lpips("alex", tmp_path / "text.pth")
