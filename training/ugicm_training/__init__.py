"""Trains UG-ICM models and turns them into model files."""

import torchvision_cpu

# Before anything here imports compressai, which imports torchvision: beside a CPU-only PyTorch
# that fails until its operators are defined.
torchvision_cpu.ensure()
