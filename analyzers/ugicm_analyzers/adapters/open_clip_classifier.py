"""Classification with any labels, by the image and text encoders of open_clip."""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

import torchvision_cpu
from ugicm_analyzers.classifying import LIKELY, Classifier
from ugicm_analyzers.devices import torch_device
from ugicm_analyzers.errors import (
    AnalyzerUnavailable,
    BadLabels,
    BadSpecification,
    BadWeights,
)
from ugicm_analyzers.protocol import AnalyzerInfo, Pixels, Task
from ugicm_analyzers.specification import Specification
from ugicm_analyzers.weights import digest, one_line, version_of

__all__ = ["OpenClipClassifier"]

_MOST_LABELS = 1000
_MOST_CHARACTERS = 200
# Sets of labels whose vectors are kept: cameras ask for the same ones again and again.
_KEPT = 64


class OpenClipClassifier(Classifier):
    """Tells the caller's labels apart (Radford et al., 2021).

    A label's score is the softmax, over the labels, of the cosine between the picture and the
    label's text, times the network's temperature. A picture alone and in a batch get the same
    scores but for float32's rounding.
    """

    classes = ()

    def __init__(self, specification: Specification) -> None:
        """Open the network.

        Raises:
            BadSpecification: open_clip knows no such network or weights.
            AnalyzerUnavailable: the weights cannot be read or fetched.
            BadWeights: they are of another network.
        """
        if specification.labels or specification.only:
            raise BadSpecification(
                f"{specification.name}: callers bring the labels, the specification has none"
            )
        self._device = torch_device(specification)
        library, self._network, self._transforms, self._tokenize, sha256 = _open(specification)
        self._template = specification.template
        self._text = functools.lru_cache(_KEPT)(self._encode)
        likely = specification.minimum_score
        self.info = AnalyzerInfo(
            name=specification.name,
            task=Task.CLASSIFY,
            version=version_of(
                specification,
                torch,
                library,
                PIL,
                weights=sha256,
                preparation=repr(self._transforms),
            ),
            labels=(),
            needs_labels=True,
            minimum_score=LIKELY if likely is None else likely,
        )

    def log_probabilities(
        self, pictures: Sequence[Pixels], labels: Sequence[str] = ()
    ) -> NDArray[np.float32]:
        """Return ``(pictures, labels)``, natural logarithms.

        Raises:
            BadLabels: there are none or too many, or two are equal, or one is empty or too long.
        """
        _check(labels)
        text = self._text(tuple(labels))
        batch = torch.stack([self._transforms(Image.fromarray(one)) for one in pictures])
        with torch.inference_mode():
            image = functional.normalize(self._network.encode_image(batch.to(self._device)), dim=1)
            logits = self._network.logit_scale.exp() * image @ text.T
            answer: NDArray[np.float32] = logits.log_softmax(1).cpu().numpy()
        return answer

    def _encode(self, labels: tuple[str, ...]) -> Tensor:
        texts = [self._template.replace("{}", label) for label in labels]
        tokens = self._tokenize(texts).to(self._device)
        with torch.inference_mode():
            return functional.normalize(self._network.encode_text(tokens), dim=1)


def _open(specification: Specification) -> tuple[ModuleType, Any, Any, Any, str]:
    torchvision_cpu.ensure()
    import open_clip

    name, model, weights = specification.name, specification.model, specification.weights
    if model not in open_clip.list_models():
        raise BadSpecification(f"{name}: open_clip has no network called {model!r}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    is_file = "/" in weights or "." in weights
    if not is_file and weights not in tags:
        raise BadSpecification(
            f"{name}: name a file (open_clip:{model}:FILE) or one of open_clip's weights of "
            f"{model} ({', '.join(tags)}), got {weights!r}"
        )
    sha256 = digest(Path(weights)) if is_file else ""
    try:
        network, _, transforms = open_clip.create_model_and_transforms(model, pretrained=weights)
    except (RuntimeError, KeyError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise BadWeights(
            f"{weights} holds no {model} ({one_line(error)}): name another file"
        ) from error
    except (OSError, ValueError) as error:
        raise AnalyzerUnavailable(
            f"{name}: the weights {weights} of {model} cannot be fetched ({one_line(error)}): "
            f"fetch them where there is a network, and name the file (open_clip:{model}:FILE)"
        ) from error
    digest_of_weights = sha256 or _digest(network)
    network.to(specification.device).eval()
    tokenizer = open_clip.get_tokenizer(model)
    return open_clip, network, transforms, tokenizer, digest_of_weights


def _digest(network: Any) -> str:
    whole = hashlib.sha256()
    for name, value in network.state_dict().items():
        whole.update(name.encode())
        whole.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _check(labels: Sequence[str]) -> None:
    if not 1 <= len(labels) <= _MOST_LABELS:
        raise BadLabels(f"1 to {_MOST_LABELS} labels are told apart, got {len(labels)}")
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise BadLabels(f"a label stands once, got {twice[:80]!r} {labels.count(twice)} times")
    for label in labels:
        if not label.strip() or len(label) > _MOST_CHARACTERS:
            raise BadLabels(
                f"a label has 1 to {_MOST_CHARACTERS} characters, got {label[:80]!r} "
                f"of {len(label)}"
            )
