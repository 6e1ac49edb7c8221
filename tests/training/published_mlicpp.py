"""MLIC++ as published, written a second time: its tensors' names and shapes, and plain loops.

Attention is computed position by position and with whole attention matrices, at a quadratic cost,
from a state dict with the published names.
"""

import itertools

import torch
from torch.nn import functional

HEADS, WINDOW = 2, 5


def shapes(layout, *, n, m, slices, views=None):
    """Return each parameter's shape by its published name.

    Args:
        layout: "2023" or "2024".
        views: features and octaves of UG-ICM's view network, or None for the plain backbone.
    """
    found = {}
    s = m // slices

    def conv(name, channels_in, channels_out, kernel, groups=1):
        found[f"{name}.weight"] = (channels_out, channels_in // groups, kernel, kernel)
        found[f"{name}.bias"] = (channels_out,)

    def linear(name, channels_in, channels_out):
        found[f"{name}.weight"] = (channels_out, channels_in)
        found[f"{name}.bias"] = (channels_out,)

    def norm(name, channels):
        found[f"{name}.weight"] = found[f"{name}.bias"] = (channels,)

    def gdn(name, channels):
        found[f"{name}.beta"] = (channels,)
        found[f"{name}.gamma"] = (channels, channels)

    def residual(name, channels_in, channels_out):
        conv(f"{name}.conv1", channels_in, channels_out, 3)
        conv(f"{name}.conv2", channels_out, channels_out, 3)
        if channels_in != channels_out:
            conv(f"{name}.skip", channels_in, channels_out, 1)

    for index, channels_in in ((0, 3), (2, n), (4, n)):
        name = f"g_a.analysis_transform.{index}"
        conv(f"{name}.conv1", channels_in, n, 3)
        conv(f"{name}.conv2", n, n, 3)
        gdn(f"{name}.gdn", n)
        conv(f"{name}.skip", channels_in, n, 1)
        residual(f"g_a.analysis_transform.{index + 1}", n, n)
    conv("g_a.analysis_transform.6", n, m, 3)

    entry = n if layout == "2023" else m
    for index, (channels_in, channels_out) in enumerate([(m, entry), (n, n), (n, n), (n, n)]):
        name = f"g_s.synthesis_transform.{2 * index}"
        residual(name, channels_in, channels_out)
        if views:
            for term in ("_proj1", "_proj2"):
                found[f"{name}.{term}.0.weight"] = (channels_out, views[0])
    for index, channels_in in ((1, entry), (3, n), (5, n)):
        name = f"g_s.synthesis_transform.{index}"
        conv(f"{name}.subpel_conv.0", channels_in, 4 * n, 3)
        conv(f"{name}.conv", n, n, 3)
        gdn(f"{name}.igdn", n)
        conv(f"{name}.upsample.0", channels_in, 4 * n, 3)
    conv("g_s.synthesis_transform.7.0", n, 12, 3)
    if views:
        linear("global_cond.beta_mlp.fc1", 1 + 2 * views[1], views[0])
        linear("global_cond.beta_mlp.fc2", views[0], views[0])

    for index, channels_in in ((0, m), (2, n), (4, n), (6, n), (8, n)):
        conv(f"h_a.reduction.{index}", channels_in, n, 3)
    wide = m * 3 // 2
    conv("h_s.increase.0", n, m, 3)
    conv("h_s.increase.2.0", m, 4 * m, 3)
    conv("h_s.increase.4", m, wide, 3)
    conv("h_s.increase.6.0", wide, 4 * wide, 3)
    conv("h_s.increase.8", wide, 2 * m, 3)

    for i in range(slices):
        name = f"local_context.{i}"
        found[f"{name}.relative_position_table"] = (81, HEADS)
        linear(f"{name}.qkv_proj", s, 3 * s)
        conv(f"{name}.fusion", s, 2 * s, 5)
        linear(f"{name}.proj", 2 * s, 2 * s)
        linear(f"{name}.mlp.fc1", 2 * s, 4 * s)
        linear(f"{name}.mlp.fc2", 4 * s, 2 * s)
        norm(f"{name}.norm1", s)
        norm(f"{name}.norm2", 2 * s)
        if i:
            for layer, (a, b) in enumerate([(s * i, 192), (192, 128), (128, 4 * s)]):
                conv(f"channel_context.{i}.fushion.{2 * layer}", a, b, 3)
            for name, c in ((f"global_inter_context.{i}", s * i), (f"global_intra_context.{i}", s)):
                for part in ("keys", "queries", "values"):
                    conv(f"{name}.{part}.0", c, c, 1)
                    conv(f"{name}.{part}.1", c, c, 3, groups=c)
                joined = 3 * s if "inter" in name else 2 * s
                conv(f"{name}.reprojection", c, joined, 5)
                conv(f"{name}.mlp.0", joined, 4 * s, 1)
                conv(f"{name}.mlp.2", 4 * s, 4 * s, 3, groups=4 * s)
                conv(f"{name}.mlp.4", 4 * s, 2 * s, 1)
            conv(f"global_inter_context.{i}.skip", 3 * s, 2 * s, 1)
        for half, contexts in (("anchor", 6 * s), ("nonanchor", 10 * s)):
            known = contexts if i else contexts - (6 if half == "anchor" else 8) * s
            widths = [2 * m + known, 320, 256, 128, 2 * s]
            for layer, (a, b) in enumerate(itertools.pairwise(widths)):
                conv(f"entropy_parameters_{half}.{i}.fusion.{2 * layer}", a, b, 1)
            first = m + (i + 1) * s
            apart = first - s
            widths = [first, 224, 128, s]
            if layout == "2023":
                widths = [first, *(first - apart * k // 4 for k in (1, 2, 3)), s]
            for layer, (a, b) in enumerate(itertools.pairwise(widths)):
                conv(f"lrp_{half}.{i}.lrp_transform.{2 * layer}", a, b, 3)
    return found


class Published:
    """The network, as functions of a state dict; pictures one at a time."""

    def __init__(self, state, slices):
        self.state = state
        self.slices = slices

    def conv(self, name, x, **options):
        weight = self.state[f"{name}.weight"]
        options.setdefault("padding", weight.shape[-1] // 2)
        return functional.conv2d(x, weight, self.state[f"{name}.bias"], **options)

    def chain(self, name, x, indexes):
        """Return convolutions with GELU between them."""
        for index in indexes:
            x = functional.gelu(x) if index != indexes[0] else x
            layer = f"{name}.{index}"
            groups = x.shape[1] if self.state[f"{layer}.weight"].shape[1] == 1 else 1
            x = self.conv(layer, x, groups=groups)
        return x

    def up(self, name, x):
        return functional.pixel_shuffle(self.conv(name, x), 2)

    def gdn(self, name, x, power):
        """Undo CompressAI's parametrisation, and divide or multiply."""
        pedestal = 2.0**-36
        beta = self.state[f"{name}.beta"].clamp(min=(1e-6 + pedestal) ** 0.5) ** 2 - pedestal
        gamma = self.state[f"{name}.gamma"].clamp(min=pedestal**0.5) ** 2 - pedestal
        energy = beta[:, None, None] + torch.einsum("oc,nchw->nohw", gamma, x * x)
        return x * energy**power

    def residual(self, name, x, feature=None):
        inner = functional.gelu(self.conv(f"{name}.conv1", x))
        if feature is not None:
            inner = inner + (self.state[f"{name}._proj1.0.weight"] @ feature)[:, None, None]
        inner = functional.gelu(self.conv(f"{name}.conv2", inner))
        if feature is not None:
            inner = inner + (self.state[f"{name}._proj2.0.weight"] @ feature)[:, None, None]
        return inner + (self.conv(f"{name}.skip", x) if f"{name}.skip.weight" in self.state else x)

    def g_a(self, x):
        for index in (0, 2, 4):
            name = f"g_a.analysis_transform.{index}"
            inner = functional.gelu(self.conv(f"{name}.conv1", x, stride=2))
            inner = self.gdn(f"{name}.gdn", self.conv(f"{name}.conv2", inner), -0.5)
            x = inner + self.conv(f"{name}.skip", x, stride=2)
            x = self.residual(f"g_a.analysis_transform.{index + 1}", x)
        return self.conv("g_a.analysis_transform.6", x, stride=2)

    def g_s(self, x, view=None):
        feature = None if view is None else self.feature(view)
        for index in (0, 2, 4, 6):
            x = self.residual(f"g_s.synthesis_transform.{index}", x, feature)
            if index < 6:
                name = f"g_s.synthesis_transform.{index + 1}"
                inner = functional.gelu(self.up(f"{name}.subpel_conv.0", x))
                inner = self.gdn(f"{name}.igdn", self.conv(f"{name}.conv", inner), 0.5)
                x = inner + self.up(f"{name}.upsample.0", x)
        return self.up("g_s.synthesis_transform.7.0", x)

    def feature(self, view):
        name = "global_cond.beta_mlp"
        octaves = (self.state[f"{name}.fc1.weight"].shape[1] - 1) // 2
        view = torch.tensor(view, dtype=self.state[f"{name}.fc1.weight"].dtype)
        inputs = [view]
        for octave in range(octaves):
            inputs += [torch.sin(view * 2**octave), torch.cos(view * 2**octave)]
        x = torch.stack(inputs)
        for layer in ("fc1", "fc2"):
            weight, bias = self.state[f"{name}.{layer}.weight"], self.state[f"{name}.{layer}.bias"]
            x = torch.relu(weight @ x + bias)
        return x

    def h_a(self, y):
        for index in (0, 2, 4, 6, 8):
            y = functional.gelu(y) if index else y
            y = self.conv(f"h_a.reduction.{index}", y, stride=2 if index in (4, 8) else 1)
        return y

    def h_s(self, z):
        x = functional.gelu(self.conv("h_s.increase.0", z))
        x = functional.gelu(self.up("h_s.increase.2.0", x))
        x = functional.gelu(self.conv("h_s.increase.4", x))
        x = functional.gelu(self.up("h_s.increase.6.0", x))
        return self.conv("h_s.increase.8", x)

    def linear(self, name, x):
        return self.state[f"{name}.weight"] @ x + self.state[f"{name}.bias"]

    def norm(self, name, x):
        scale, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() * scale + bias

    def local(self, i, x):
        """Attend within the window around every position, one query after the other."""
        name = f"local_context.{i}"
        channels, height, width = x.shape[1:]
        size = channels // HEADS
        table = self.state[f"{name}.relative_position_table"]
        qkv = {}
        for place in itertools.product(range(height), range(width)):
            vector = self.linear(f"{name}.qkv_proj", self.norm(f"{name}.norm1", x[0][:, *place]))
            # The heads alternate along the channels.
            qkv[place] = vector.view(3, size, HEADS)
        nothing = x.new_zeros(3, size, HEADS)
        out = x.new_empty(1, 2 * channels, height, width)
        offsets = list(itertools.product(range(WINDOW), repeat=2))
        for row, column in qkv:
            places = [(row + a - 2, column + b - 2) for a, b in offsets]
            is_anchor = [place in qkv and sum(place) % 2 == 1 for place in places]
            vectors = [qkv.get(place, nothing) for place in places]
            window = x.new_empty(channels, WINDOW, WINDOW)
            for query, (a, b) in enumerate(offsets):
                for head in range(HEADS):
                    logits = torch.stack(
                        [
                            vectors[query][0, :, head] @ vector[1, :, head] / size**0.5
                            + table[(a - c + 4) * 9 + b - d + 4, head]
                            for vector, (c, d) in zip(vectors, offsets, strict=True)
                        ]
                    )
                    if is_anchor[query]:
                        logits[~torch.tensor(is_anchor)] = -torch.inf
                    weights = torch.softmax(logits, 0)
                    window[head * size : (head + 1) * size, a, b] = sum(
                        weight * vector[2, :, head]
                        for weight, vector in zip(weights, vectors, strict=True)
                    )
            fused = self.conv(f"{name}.fusion", window[None], padding=0).flatten()
            x_out = self.linear(f"{name}.proj", fused)
            inner = self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x_out))
            out[0, :, row, column] = x_out + self.linear(f"{name}.mlp.fc2", functional.gelu(inner))
        return out

    def embedded(self, name, x):
        x = self.conv(f"{name}.0", x)
        return self.conv(f"{name}.1", x, groups=x.shape[1])

    def attended(self, name, sources, heads, queries_at, keys_at):
        """Attend with the whole matrix from every query to every key."""
        queries, keys, values = (
            self.embedded(f"{name}.{part}", source)
            for part, source in zip(("queries", "keys", "values"), sources, strict=True)
        )
        out = torch.zeros_like(queries)
        size = queries.shape[1] // heads
        for head in range(heads):
            of_head = slice(head * size, (head + 1) * size)
            q = queries[0, of_head][:, queries_at].softmax(0)
            k = keys[0, of_head][:, keys_at].softmax(1)
            matrix = q.T @ k
            out[0, of_head][:, queries_at] = values[0, of_head][:, keys_at] @ matrix.T
        return self.conv(f"{name}.reprojection", out)

    def inter(self, i, earlier):
        name = f"global_inter_context.{i}"
        everywhere = torch.ones(earlier.shape[2:], dtype=torch.bool)
        out = self.attended(name, [earlier] * 3, i, everywhere, everywhere)
        return self.conv(f"{name}.skip", out) + self.chain(f"{name}.mlp", out, (0, 2, 4))

    def intra(self, i, previous, current):
        name = f"global_intra_context.{i}"
        board = checkerboard(current)
        sources = [previous * ~board, previous * board, current]
        out = self.attended(name, sources, HEADS, ~board, board)
        return out + self.chain(f"{name}.mlp", out, (0, 2, 4))

    def lrp(self, half, i, known):
        name = f"lrp_{half}.{i}.lrp_transform"
        layers = [index for index in (0, 2, 4, 6) if f"{name}.{index}.weight" in self.state]
        return 0.5 * torch.tanh(self.chain(name, known, layers))

    def slices_of(self, y, hyper):
        """Return y_hat, scales and means of one picture."""
        board = checkerboard(y)
        hyper_means = hyper[:, hyper.shape[1] // 2 :]
        done, all_scales, all_means = [], [], []
        for i, part in enumerate(y.chunk(self.slices, 1)):
            before = torch.cat(done, 1) if i else None
            shared = [hyper]
            if i:
                channel = self.chain(f"channel_context.{i}.fushion", before, (0, 2, 4))
                shared = [self.inter(i, before), channel, hyper]
            y_hat = torch.zeros_like(part)
            scales, means = torch.zeros_like(part), torch.zeros_like(part)
            for half, mask in (("anchor", board), ("nonanchor", ~board)):
                contexts = shared
                if half == "nonanchor":
                    intra = [self.intra(i, done[-1], y_hat)] if i else []
                    contexts = [self.local(i, y_hat), *intra, *shared]
                name = f"entropy_parameters_{half}.{i}.fusion"
                parameters = self.chain(name, torch.cat(contexts, 1), (0, 2, 4, 6))
                scales = torch.where(mask, parameters.chunk(2, 1)[0], scales)
                means = torch.where(mask, parameters.chunk(2, 1)[1], means)
                y_hat = torch.where(mask, (part - means).round() + means, y_hat)
                known = torch.cat([hyper_means, *done, y_hat], 1)
                y_hat = torch.where(mask, y_hat + self.lrp(half, i, known), y_hat)
            done.append(y_hat)
            all_scales.append(scales)
            all_means.append(means)
        return torch.cat(done, 1), torch.cat(all_scales, 1), torch.cat(all_means, 1)


def checkerboard(like):
    rows, columns = like.shape[2:]
    return torch.tensor([[(r + c) % 2 == 1 for c in range(columns)] for r in range(rows)])
