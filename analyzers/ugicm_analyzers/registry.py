"""Open analyzers: those that come along by name, others by what they are made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from ugicm_analyzers.embedded.faces import FaceDetector
from ugicm_analyzers.embedded.people import PeopleDetector
from ugicm_analyzers.errors import AnalyzerUnavailable, BadSpecification, UnknownAnalyzer
from ugicm_analyzers.protocol import Analyzer
from ugicm_analyzers.specification import Kind, Specification, parse_specification

__all__ = ["ANALYZERS", "load_analyzers", "open_analyzer"]

ANALYZERS: Mapping[str, Callable[[], Analyzer]] = {
    "faces": FaceDetector,
    "people": PeopleDetector,
}


def load_analyzers(texts: Sequence[str]) -> dict[str, Analyzer]:
    """Return analyzers that are ready, by name and in the order of their names.

    Args:
        texts: what ``parse_specification`` reads.

    Raises:
        UnknownAnalyzer: there is no analyzer of one of the names.
        BadSpecification: one cannot be, or two share a name.
        AnalyzerUnavailable: what one is made of is missing here.
        BadWeights: a file does not hold the network that it should.
    """
    specifications: dict[str, Specification] = {}
    for text in dict.fromkeys(texts):
        specification = parse_specification(text)
        if specification.name in specifications:
            raise BadSpecification(f"two analyzers are called {specification.name!r}")
        specifications[specification.name] = specification
    embedded = {name for name, one in specifications.items() if one.kind is Kind.EMBEDDED}
    unknown = sorted(embedded - set(ANALYZERS))
    if unknown:
        names, known = ", ".join(map(repr, unknown)), ", ".join(sorted(ANALYZERS))
        raise UnknownAnalyzer(f"no analyzer is called {names}; there are {known}")
    analyzers = {name: open_analyzer(specifications[name]) for name in sorted(specifications)}
    for analyzer in analyzers.values():
        analyzer.load()
    return analyzers


def open_analyzer(specification: Specification) -> Analyzer:
    """Return an analyzer that is not loaded yet.

    Raises:
        UnknownAnalyzer: there is no embedded analyzer of that name.
        BadSpecification: it cannot be.
        AnalyzerUnavailable: what it is made of is missing here.
        BadWeights: a file does not hold the network that it should.
    """
    if specification.kind is Kind.EMBEDDED:
        if specification.name not in ANALYZERS:
            raise UnknownAnalyzer(f"no analyzer is called {specification.name!r}")
        return ANALYZERS[specification.name]()
    try:
        return _OPEN[specification.kind](specification)
    except ModuleNotFoundError as error:
        # Some versions of pip know an extra by its normalised name alone.
        extra = specification.kind.value.replace("_", "-")
        raise AnalyzerUnavailable(
            f"{specification.name}: the package {error.name} is missing: "
            f"pip install 'ugicm-analyzers[{extra}]'"
        ) from error


# Each library is imported only where it is chosen: none is needed for the others.


def _open_onnx(specification: Specification) -> Analyzer:
    # Read when the library is loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    from ugicm_analyzers.adapters.onnx_classifier import OnnxClassifier
    from ugicm_analyzers.adapters.onnx_detector import OnnxDetector
    from ugicm_analyzers.adapters.onnx_session import open_network

    network = open_network(specification)
    if [len(port.shape) for port in network.outputs] == [2]:
        return OnnxClassifier(specification, network)
    return OnnxDetector(specification, network)


def _open_tflite(specification: Specification) -> Analyzer:
    from ugicm_analyzers.adapters.tflite_segmenter import TfliteSegmenter

    return TfliteSegmenter(specification)


def _open_torchvision(specification: Specification) -> Analyzer:
    import torchvision_cpu

    torchvision_cpu.ensure()
    from torchvision import models

    from ugicm_analyzers.adapters.torchvision_classifier import TorchvisionClassifier
    from ugicm_analyzers.adapters.torchvision_detector import TorchvisionDetector
    from ugicm_analyzers.adapters.torchvision_segmenter import TorchvisionSegmenter

    adapters = (
        (models, TorchvisionClassifier),
        (models.detection, TorchvisionDetector),
        (models.segmentation, TorchvisionSegmenter),
    )
    for module, adapter in adapters:
        if specification.model in models.list_models(module=module):
            return adapter(specification)
    raise BadSpecification(
        f"{specification.name}: torchvision classifies, detects or segments with no network "
        f"called {specification.model!r}"
    )


def _open_open_clip(specification: Specification) -> Analyzer:
    from ugicm_analyzers.adapters.open_clip_classifier import OpenClipClassifier

    return OpenClipClassifier(specification)


def _open_ultralytics(specification: Specification) -> Analyzer:
    from ugicm_analyzers.adapters.ultralytics_detector import UltralyticsDetector

    return UltralyticsDetector(specification)


_OPEN: Mapping[Kind, Callable[[Specification], Analyzer]] = {
    Kind.ONNX: _open_onnx,
    Kind.OPEN_CLIP: _open_open_clip,
    Kind.TFLITE: _open_tflite,
    Kind.TORCHVISION: _open_torchvision,
    Kind.ULTRALYTICS: _open_ultralytics,
}
