"""Each case needs a fresh interpreter: PyTorch keeps operators for a process's lifetime."""

import subprocess
import sys
import textwrap


def run(program):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def succeeds(program):
    finished = run(program)
    assert finished.returncode == 0, finished.stderr
    return True


def test_importing_the_package_alone_leaves_torchvision_alone():
    assert succeeds("""
        import sys, torch, torchvision_cpu
        assert not any(name.split(".")[0] == "torchvision" for name in sys.modules)
        assert not hasattr(torch.ops.torchvision, "nms")
        """)


def test_torchvision_and_compressai_import_after_ensure():
    assert succeeds("""
        import torchvision_cpu
        torchvision_cpu.ensure()
        import compressai.models, torchvision.models.detection
        """)


def test_ensure_recovers_from_an_import_that_failed_and_may_be_called_again():
    assert succeeds("""
        import torchvision_cpu
        try:
            import torchvision
        except RuntimeError:
            pass
        torchvision_cpu.ensure()
        torchvision_cpu.ensure()
        import torch, torchvision.ops
        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.9], [5.0, 5.0, 6.0, 6.0]])
        scores = torch.tensor([0.5, 0.9, 0.1])
        assert torchvision.ops.nms(boxes, scores, 0.5).tolist() == [1, 2]
        """)


def test_quantised_boxes_are_suppressed_too():
    assert succeeds("""
        import torch, torchvision_cpu
        torchvision_cpu.ensure()
        import torchvision.ops
        boxes = torch.tensor([[0, 0, 20, 20], [0, 0, 20, 19], [50, 50, 60, 60]])
        boxes = torch.quantize_per_tensor(boxes.float(), 1.0, 0, torch.quint8)
        scores = torch.quantize_per_tensor(torch.tensor([5.0, 9.0, 1.0]), 1.0, 0, torch.quint8)
        assert torchvision.ops.nms(boxes, scores, 0.5).tolist() == [1, 2]
        """)


def test_a_detector_with_both_operators_runs():
    assert succeeds("""
        import torch, torchvision_cpu
        torchvision_cpu.ensure()
        from torchvision.models.detection import maskrcnn_resnet50_fpn
        torch.manual_seed(0)
        detector = maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, min_size=64, max_size=96, box_score_thresh=0.0,
            rpn_post_nms_top_n_test=20, box_detections_per_img=5,
        ).eval()
        with torch.inference_mode():
            (found,) = detector([torch.rand(3, 64, 96)])
        assert found["masks"].shape[1:] == (1, 64, 96)
        assert len(found["boxes"]) == len(found["scores"]) > 0
        """)
