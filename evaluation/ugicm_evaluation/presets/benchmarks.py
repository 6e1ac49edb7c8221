"""The five benchmarks, with the paper's data and judges and with small ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from ugicm_evaluation.config import (
    Analyzer,
    ClassFolders,
    Coco,
    Labelled,
    Lpips,
    Pictures,
    VocDetection,
    VocSegmentation,
)
from ugicm_evaluation.presets.benchmark import Benchmark, Goal, Need, Setting
from ugicm_evaluation.report.judges import (
    DEEPLAB,
    SQUEEZENET,
    YOLOX,
    Kind,
    small_judge,
    weights_of,
)
from ugicm_evaluation.report.plan import LONGEST_SIDE

__all__ = ["BENCHMARKS"]

_TORCHVISION = "https://download.pytorch.org/models/"
_ULTRALYTICS = "https://github.com/ultralytics/assets/releases"
_SAFETENSORS = "torchvision's squeezenet1_1, its tensors saved as safetensors"
_COCO = "https://cocodataset.org/#download"
_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"
_YOLOX_SOURCE = "https://github.com/Megvii-BaseDetection/YOLOX/releases"
_DEEPLAB_SOURCE = "https://github.com/google-coral/test_data"
_MEASURED = "what `ugicm-evaluate report` reads: see docs/evaluation.md"


def _data(what: str, path: str, source: str) -> Callable[[Path], Need]:
    return lambda data: Need(what, data / path, source)


def _weights(what: str, name: str, source: str) -> Callable[[Path], Need]:
    return lambda data: Need(what, data / "weights" / name, source)


def _all(*needs: Callable[[Path], Need]) -> Callable[[Path], tuple[Need, ...]]:
    return lambda data: tuple(need(data) for need in needs)


def _judge(
    name: str, kind: str, file: str, *, shapes: Literal["boxes", "masks"] = "boxes"
) -> Callable[[Path], tuple[Analyzer, ...]]:
    def judges(data: Path) -> tuple[Analyzer, ...]:
        analyzer = f"{kind}:{data / 'weights' / file}"
        return (Analyzer(name=name, analyzer=analyzer, shapes=shapes),)

    return judges


_RESNET, _YOLO, _ALEXNET = "resnet101-63fe2227.pth", "yolov3u.pt", "alexnet-owt-7be5be79.pth"
_MASK_RCNN = "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
_DEEPLAB = "deeplabv3_resnet101_coco-586e9e4e.pth"

_need_mask_rcnn = _weights("Mask R-CNN, trained on COCO", _MASK_RCNN, _TORCHVISION + _MASK_RCNN)
_mask_rcnn = _judge("Mask R-CNN", "torchvision:maskrcnn_resnet50_fpn", _MASK_RCNN, shapes="masks")


def _voc_boxes(goal: Goal, most: int) -> Benchmark:
    return Benchmark(
        f"{most:,} pictures of PASCAL VOC's test set, YOLOv3 (v3u, trained on COCO), mAP@50",
        _all(
            _data("PASCAL VOC 2007 with its test set", "VOC2007", f"{_VOC}/voc2007"),
            _weights("YOLOv3u, trained on COCO", _YOLO, _ULTRALYTICS),
        ),
        lambda data: VocDetection(
            name=goal.value, folder=data / "VOC2007", split="test", most=most, judges=("YOLOv3",)
        ),
        _judge("YOLOv3", "ultralytics", _YOLO),
    )


def _voc_label_maps(goal: Goal, pictures: str, split: str) -> Benchmark:
    return Benchmark(
        f"PASCAL VOC 2012's {pictures} pictures, DeepLabv3 (the paper: v3+), mIoU",
        _all(
            _data("PASCAL VOC 2012", "VOC2012", f"{_VOC}/voc2012"),
            _weights("DeepLabv3, with VOC's labels", _DEEPLAB, _TORCHVISION + _DEEPLAB),
        ),
        lambda data: VocSegmentation(
            name=goal.value, folder=data / "VOC2012", split=split, judges=("DeepLabv3",)
        ),
        _judge("DeepLabv3", "torchvision:deeplabv3_resnet101", _DEEPLAB),
    )


_PAPER: Mapping[Goal, Benchmark] = {
    Goal.CLASSIFICATION: Benchmark(
        "25,000 pictures of ImageNet's validation set, ResNet101, top-1",
        _all(
            _data("ImageNet's validation set, a folder for each class", "imagenet/val",
                  "https://image-net.org/challenges/LSVRC/2012"),
            _data("its classes in their order", "imagenet/LOC_synset_mapping.txt",
                  "https://www.kaggle.com/c/imagenet-object-localization-challenge/data"),
            _weights("ResNet101, trained on ImageNet", _RESNET, _TORCHVISION + _RESNET),
        ),
        lambda data: ClassFolders(
            name=Goal.CLASSIFICATION.value, folder=data / "imagenet" / "val",
            classes=data / "imagenet" / "LOC_synset_mapping.txt", most=25_000,
            judges=("ResNet101",),
        ),
        _judge("ResNet101", "torchvision:resnet101", _RESNET),
    ),
    Goal.DETECTION: _voc_boxes(Goal.DETECTION, 2150),
    Goal.INSTANCES: Benchmark(
        "COCO's val2017, Mask R-CNN, mask mAP@[.5:.95]",
        _all(
            _data("COCO's pictures", "coco/val2017", _COCO),
            _data("their objects", "coco/annotations/instances_val2017.json", _COCO),
            _need_mask_rcnn,
        ),
        lambda data: Coco(
            name=Goal.INSTANCES.value, images=data / "coco" / "val2017",
            annotations=data / "coco" / "annotations" / "instances_val2017.json",
            judges=("Mask R-CNN",),
        ),
        _mask_rcnn,
    ),
    Goal.SEMANTICS: _voc_label_maps(Goal.SEMANTICS, "1,449 validation", "val"),
    Goal.PERCEPTION: Benchmark(
        "Kodak's 24 pictures, PSNR, SSIM and LPIPS (AlexNet)",
        _all(
            _data("Kodak's pictures", "kodak", "https://r0k.us/graphics/kodak"),
            _weights("AlexNet, trained on ImageNet", _ALEXNET, _TORCHVISION + _ALEXNET),
        ),
        lambda data: Pictures(
            name=Goal.PERCEPTION.value, folder=data / "kodak", metrics=("psnr", "ssim", "lpips")
        ),
        lpips=lambda data: Lpips(weights=data / "weights" / _ALEXNET),
    ),
    Goal.TOY_DETECTION: _voc_boxes(Goal.TOY_DETECTION, 3000),
    Goal.TOY_SEMANTICS: _voc_label_maps(
        Goal.TOY_SEMANTICS, "2,913 labelled (the paper: 3,000)", "trainval"
    ),
}  # fmt: skip

_need_small_coco = _data("pictures with COCO's annotations", "coco/instances.json", _MEASURED)
_need_squeezenet = _weights("SqueezeNet 1.1", SQUEEZENET[2], _SAFETENSORS)


def _small_coco(goal: Goal, judge: str) -> Callable[[Path], Coco]:
    return lambda data: Coco(
        name=goal.value,
        images=data / "coco" / "images",
        annotations=data / "coco" / "instances.json",
        judges=(judge,),
        longest_side=LONGEST_SIDE,
    )


def _small(kind: Kind) -> Callable[[Path], tuple[Analyzer, ...]]:
    return lambda data: (small_judge(data, kind),)


def _small_boxes(goal: Goal) -> Benchmark:
    return Benchmark(
        "pictures with COCO's annotations, YOLOX-Nano, mAP@50",
        _all(_need_small_coco, _weights("YOLOX-Nano", YOLOX[2], _YOLOX_SOURCE)),
        _small_coco(goal, YOLOX[0]),
        _small(YOLOX),
    )


def _small_label_maps(goal: Goal) -> Benchmark:
    return Benchmark(
        "pictures with COCO's annotations, DeepLabv3 on MobileNetV2, agreement mIoU",
        _all(_need_small_coco, _weights("DeepLabv3 on MobileNetV2", DEEPLAB[2], _DEEPLAB_SOURCE)),
        _small_coco(goal, DEEPLAB[0]),
        _small(DEEPLAB),
    )


_SMALL: Mapping[Goal, Benchmark] = {
    Goal.CLASSIFICATION: Benchmark(
        "labelled pictures, SqueezeNet, top-1",
        _all(
            _data("pictures with ImageNet's classes", "imagenet/labels.json", _MEASURED),
            _need_squeezenet,
        ),
        lambda data: Labelled(
            name=Goal.CLASSIFICATION.value, folder=data / "imagenet",
            judges=(SQUEEZENET[0],), longest_side=LONGEST_SIDE,
        ),
        _small(SQUEEZENET),
    ),
    Goal.DETECTION: _small_boxes(Goal.DETECTION),
    Goal.INSTANCES: Benchmark(
        "pictures with COCO's annotations, Mask R-CNN, mask mAP@[.5:.95]",
        _all(_need_small_coco, _need_mask_rcnn),
        _small_coco(Goal.INSTANCES, "Mask R-CNN"),
        _mask_rcnn,
    ),
    Goal.SEMANTICS: _small_label_maps(Goal.SEMANTICS),
    Goal.PERCEPTION: Benchmark(
        "lossless pictures, PSNR, SSIM and LPIPS (SqueezeNet)",
        _all(_data("lossless pictures", "photos", _MEASURED), _need_squeezenet),
        lambda data: Pictures(
            name=Goal.PERCEPTION.value, folder=data / "photos", metrics=("psnr", "ssim", "lpips")
        ),
        lpips=lambda data: Lpips(backbone="squeeze", weights=weights_of(data, SQUEEZENET)),
    ),
    Goal.TOY_DETECTION: _small_boxes(Goal.TOY_DETECTION),
    Goal.TOY_SEMANTICS: _small_label_maps(Goal.TOY_SEMANTICS),
}  # fmt: skip

BENCHMARKS: Mapping[Setting, Mapping[Goal, Benchmark]] = {
    Setting.PAPER: _PAPER,
    Setting.SMALL: _SMALL,
}
