"""Open exported networks with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from ugicm_analyzers.errors import AnalyzerUnavailable, BadWeights
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import digest, one_line

__all__ = ["Network", "Port", "open_network"]

_CUDA = "CUDAExecutionProvider"

# onnxruntime's errors have no common base.
_UNLOADABLE = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NoSuchFile,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)


@dataclass(frozen=True)
class Port:
    """An input or output; a side that may vary is None."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Network:
    """An exported network; threads may call ``run`` side by side, each computes alone.

    Attributes:
        path: its file.
        sha256: of the file.
        inputs: what it takes.
        outputs: what it gives.
        metadata: what its exporter wrote beside it.
    """

    path: Path
    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]
    session: onnxruntime.InferenceSession

    @property
    def takes_batches(self) -> bool:
        """Whether any number of pictures fits into one call."""
        return self.inputs[0].shape[0] is None

    def run(self, *values: NDArray[Any]) -> list[NDArray[Any]]:
        """Return what comes out, in the order of ``outputs``."""
        feed = {port.name: value for port, value in zip(self.inputs, values, strict=True)}
        results: list[NDArray[Any]] = self.session.run(None, feed)
        return results

    def run_each(self, pictures: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Return the one output for each picture, in a batch where the network takes batches."""
        if self.takes_batches:
            return list(self.run(np.stack(pictures))[0])
        return [self.run(picture[None])[0][0] for picture in pictures]


def open_network(specification: Specification) -> Network:
    """Open a network whose first input is one of pictures.

    Raises:
        AnalyzerUnavailable: the file cannot be read, or there is no such device.
        BadWeights: it holds no such network.
    """
    path = Path(specification.weights)
    sha256 = digest(path)
    providers = _providers(specification)
    options = onnxruntime.SessionOptions()
    # Pictures are analyzed side by side; threads of its own on top would only compete.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except _UNLOADABLE as error:
        raise BadWeights(f"{path} holds no network ({one_line(error)}): export it again") from error
    # Where a provider cannot start, ONNX Runtime goes on without it.
    if session.get_providers()[0] != providers[0][0]:
        raise AnalyzerUnavailable(
            f"{specification.name}: ONNX Runtime cannot use {specification.device}: see that CUDA "
            "and cuDNN of its version are installed"
        )
    first = session.get_inputs()[0]
    if first.type != "tensor(float)" or len(first.shape) not in (3, 4):
        raise BadWeights(
            f"{path}: a network takes pictures (N, 3, H, W) or (3, H, W) of float32, "
            f"got {first.shape} of {first.type}"
        )
    return Network(
        path=path,
        sha256=sha256,
        inputs=tuple(map(_port, session.get_inputs())),
        outputs=tuple(map(_port, session.get_outputs())),
        metadata=session.get_modelmeta().custom_metadata_map,
        session=session,
    )


def _providers(specification: Specification) -> list[tuple[str, dict[str, int]]]:
    """Return what runs a network, best first: what CUDA has no operator for, the CPU computes."""
    name, _, number = specification.device.partition(":")
    cpu: tuple[str, dict[str, int]] = ("CPUExecutionProvider", {})
    if name == "cpu":
        return [cpu]
    if _CUDA not in onnxruntime.get_available_providers():
        raise AnalyzerUnavailable(
            f"{specification.name}: this ONNX Runtime has no {specification.device}: install "
            "onnxruntime-gpu in place of onnxruntime"
        )
    return [(_CUDA, {"device_id": int(number or 0)}), cpu]


def _port(port: onnxruntime.NodeArg) -> Port:
    # What may vary has a name for its size.
    return Port(port.name, tuple(one if isinstance(one, int) else None for one in port.shape))
