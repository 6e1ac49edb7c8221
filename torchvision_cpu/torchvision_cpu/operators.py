"""Box operators in plain PyTorch, with the results of torchvision's compiled kernels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["nms", "roi_align"]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keep the best-scored box of every group that overlaps more than ``iou_threshold``.

    Args:
        boxes: ``(N, 4)``, corners x1, y1, x2, y2.
        scores: ``(N,)``.

    Returns:
        ``(K,)``, int64, the kept boxes' indexes, best score first; equal scores keep their order.

    Raises:
        ValueError: the shapes differ from these.
    """
    if boxes.dim() != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"expected boxes (N, 4) and scores (N,), got {tuple(boxes.shape)} and "
            f"{tuple(scores.shape)}"
        )
    # quantised tensors arrive as small integers, which float32 holds exactly
    boxes = boxes if boxes.is_floating_point() else boxes.float()
    top_left, bottom_right = boxes[:, :2], boxes[:, 2:]
    areas = (bottom_right - top_left).prod(dim=1)
    candidates = scores.argsort(descending=True, stable=True)
    kept = []
    while candidates.numel() > 0:
        best, candidates = candidates[0], candidates[1:]
        kept.append(best)
        extent = torch.minimum(bottom_right[best], bottom_right[candidates]) - torch.maximum(
            top_left[best], top_left[candidates]
        )
        intersection = extent.clamp(min=0).prod(dim=1)
        iou = intersection / (areas[best] + areas[candidates] - intersection)
        # Compared in float64 like the compiled kernel: rounding the threshold to float32 would
        # change the verdict on ties. Not "<=": two empty boxes give NaN, which suppresses nothing.
        candidates = candidates[~(iou.double() > iou_threshold)]
    return torch.stack(kept) if kept else candidates


def roi_align(
    features: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Average bilinear samples in every bin of every region (He et al., Mask R-CNN, 2017).

    Args:
        features: ``(N, C, H, W)``.
        rois: ``(K, 5)``, picture index and corners x1, y1, x2, y2; no gradient flows into them.
        spatial_scale: feature pixels per unit of the corners.
        sampling_ratio: samples along each side of a bin; as many as the bin has pixels if not
            positive.
        aligned: whether coordinates name pixel corners; if not, regions are at least one
            pixel wide and high, as in older models.

    Returns:
        ``(K, C, pooled_height, pooled_width)``.
    """
    wide = features if features.dtype == torch.float64 else features.float()
    corners = rois.detach()[:, 1:].to(wide.dtype) * spatial_scale - (0.5 if aligned else 0.0)
    pooled = corners.new_tensor([pooled_width, pooled_height])
    extent = corners[:, 2:] - corners[:, :2]
    if not aligned:
        extent = extent.clamp(min=1.0)
    bin_size = extent / pooled
    if sampling_ratio > 0:
        samples = torch.full_like(bin_size, sampling_ratio).long()
    else:
        samples = bin_size.ceil().clamp(min=0).long()

    output = wide.new_zeros(len(rois), wide.shape[1], pooled_height, pooled_width)
    # Regions of one picture with the same number of samples share one call of grid_sample.
    groups = torch.cat([rois.detach()[:, :1].long(), samples], dim=1)
    keys, group_of = groups.unique(dim=0, return_inverse=True)
    for index, (picture, across, down) in enumerate(keys.tolist()):
        if across == 0 or down == 0:
            continue
        members = (group_of == index).nonzero().squeeze(1)
        x = _sample_positions(corners[members, 0], bin_size[members, 0], pooled_width, across)
        y = _sample_positions(corners[members, 1], bin_size[members, 1], pooled_height, down)
        sampled = _bilinear(wide[picture : picture + 1], x, y)
        bins = sampled.unflatten(3, (pooled_width, across)).unflatten(2, (pooled_height, down))
        output[members] = bins.mean(dim=(3, 5)).transpose(0, 1)
    return output.to(features.dtype)


def _sample_positions(start: Tensor, bin_size: Tensor, num_bins: int, per_bin: int) -> Tensor:
    """Return ``(K, num_bins * per_bin)``, the positions along one axis, evenly inside each bin."""
    steps = torch.arange(num_bins * per_bin, device=start.device, dtype=start.dtype) + 0.5
    return start[:, None] + steps * (bin_size / per_bin)[:, None]


def _bilinear(features: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sample ``(1, C, H, W)`` where rows ``y`` (K, Y) cross columns ``x`` (K, X): ``(C, K, Y, X)``.

    Positions up to one pixel outside take the border's value, those beyond count as 0.
    """
    height, width = features.shape[2:]
    inside_x = (x >= -1) & (x <= width)
    inside_y = (y >= -1) & (y <= height)
    shape = (x.shape[0], y.shape[1], x.shape[1])
    grid = torch.stack(
        [
            ((2 * x + 1) / width - 1)[:, None, :].expand(shape),
            ((2 * y + 1) / height - 1)[:, :, None].expand(shape),
        ],
        dim=-1,
    )
    sampled: Tensor = functional.grid_sample(
        features, grid.flatten(0, 1)[None], padding_mode="border", align_corners=False
    )
    inside = inside_y[:, :, None] & inside_x[:, None, :]
    return sampled[0].reshape(-1, *shape) * inside
