"""Trains UG-ICM's models and exports them."""

import torchvision_cpu

torchvision_cpu.ensure()  # compressai, which the modules below import, wants torchvision
