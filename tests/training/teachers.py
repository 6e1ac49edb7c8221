"""Teachers for tests: nothing to load, and everything they are shown is kept."""

import torch

from ugicm_training.teachers.protocol import Interpolation


class Linear:
    """A teacher with weights of its own, which keeps what it was shown."""

    description = "linear"
    interpolation = Interpolation.BILINEAR
    mean_colour = (0.2, 0.4, 0.6)

    def __init__(self, side=8):
        self.side = side
        generator = torch.Generator().manual_seed(0)
        self.weights = torch.randn(3 * side * side, 5, generator=generator, requires_grad=True)
        self.shown = []

    def embed(self, pictures):
        assert pictures.shape[1:] == (3, self.side, self.side)
        self.shown.append(pictures.detach())
        mean = pictures.new_tensor(self.mean_colour)[:, None, None]
        return (pictures - mean).flatten(1) @ self.weights.detach()
