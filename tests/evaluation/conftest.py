"""What several tests of evaluation look through."""

import pytest
import torch

import torchvision_cpu
from ugicm_training.teachers.stand_in import Features, StandInRecord, stand_in_file


@pytest.fixture
def teacher_file(tmp_path):
    torchvision_cpu.ensure()
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    backbone = mobilenet_v2().state_dict()
    width = sum(Features(backbone, torch.device("cpu")).widths)
    # An untrained network says little of a picture, and no offset hides what it says.
    projection, offset = torch.randn(width, 512) / width**0.5, torch.zeros(512)
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(stand_in_file(backbone, projection, offset, StandInRecord(9, 9, 0.5, 0.9)))
    return path
