"""Pictures by formula, so that tests need no files."""

from __future__ import annotations

import numpy as np


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def gradient(height, width):
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [rows * 255 // height, columns * 255 // width, (rows + columns) % 256]
    return np.stack(channels, axis=2).astype(np.uint8)


def scene(height, width, seed=0):
    """Return a picture with a photograph's spectrum: amplitudes fall as 1/f, edges, texture."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    spectrum = np.fft.rfft2(generator.standard_normal((height, width))) / frequency
    spectrum[0, 0] = 0.0
    relief = np.fft.irfft2(spectrum, (height, width))
    relief /= max(float(np.abs(relief).max()), 1e-9)
    rows, columns = np.mgrid[0:height, 0:width]
    building = (rows > height // 2) & (columns > width // 3) & (columns < 2 * width // 3)
    grey = 128 + 90 * relief + 35 * building
    tint = np.array([1.05, 1.0, 0.9])
    grain = generator.normal(0.0, 2.0, (height, width, 3))
    return np.clip(grey[..., None] * tint + grain, 0, 255).astype(np.uint8)
