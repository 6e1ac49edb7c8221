"""The codecs that a service has loaded, by name and by latents id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from ugicm.v1 import types_pb2
from ugicm_codec.errors import UnknownModel, WrongModel
from ugicm_codec.limits import Limits
from ugicm_codec.views import PRESETS
from ugicm_servicekit.errors import BadSettings
from ugicm_servicekit.metrics import MODEL_INFO
from ugicm_servicekit.reloading import Change, Kind, Use, changes_between
from ugicm_servicekit.settings import ServerSettings, Setting
from ugicm_servicekit.streams import model_to_wire

if TYPE_CHECKING:
    from ugicm_codec import Codec, ModelInfo

__all__ = ["ModelSettings", "Models", "ReloadableModels", "load_models"]

# No multiple of any model's stride, and two sizes that calls often have: what is compiled, or
# chosen by size, is there when they come.
_WARM_UP_SIZES = ((70, 90), (128, 128), (512, 768))


@dataclass(frozen=True, kw_only=True)
class ModelSettings(ServerSettings):
    """What a server that runs models needs to be told."""

    models: Annotated[
        tuple[str, ...],
        Setting("models to load, by name or path, commas between; the first is the default"),
    ] = ("default",)
    device: Annotated[str, Setting("device to compute on, as PyTorch names it")] = "cpu"
    threads: Annotated[int, Setting("how many pictures to work on at once", 1, 1024)] = 2
    max_queued: Annotated[
        int, Setting("how many calls may wait for a thread before more are refused", 0)
    ] = 64
    in_company: Annotated[
        int,
        Setting("most pictures of one client to work on at once while others ask too", 1, 1024),
    ] = 1
    max_pixels: Annotated[int, Setting("largest picture, in pixels", 1)] = Limits.max_pixels

    @property
    def limits(self) -> Limits:
        """Limits on pictures."""
        return Limits(max_pixels=self.max_pixels)


class Models:
    """Loaded codecs; the first is the default.

    Raises:
        BadSettings: two of them have the same name.
    """

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = {codec.model.name: codec for codec in codecs}
        if len(self._codecs) < len(codecs):
            names = ", ".join(codec.model.name for codec in codecs)
            raise BadSettings([f"models need different names, got {names}"])

    def named(self, name: str) -> Codec:
        """Return the codec of that name; the default for an empty name.

        Raises:
            UnknownModel: none has that name.
        """
        if not name:
            return next(iter(self._codecs.values()))
        if name not in self._codecs:
            raise UnknownModel(f"loaded models are {', '.join(self._codecs)}, got {name[:64]!r}")
        return self._codecs[name]

    @property
    def infos(self) -> list[ModelInfo]:
        """What the model files say of themselves; the default comes first."""
        return [codec.model for codec in self._codecs.values()]

    def replace_by(self, others: Models) -> None:
        """Hand out other codecs from now on; those handed out before keep working."""
        self._codecs = others._codecs

    def decodes(self, latents_id: bytes) -> bool:
        """Tell whether a loaded model has that latents id."""
        return any(codec.model.latents_id == latents_id for codec in self._codecs.values())

    def decoding(self, latents_id: bytes, name: str) -> Codec:
        """Return the codec of that name or, where it is empty, the first with that latents id.

        Raises:
            UnknownModel: none has that name.
            WrongModel: it, or every one, has another latents id.
        """
        candidates = [self.named(name)] if name else self._codecs.values()
        for codec in candidates:
            if codec.model.latents_id == latents_id:
                return codec
        known = ", ".join(f"{one.model.name} {one.model.latents_id.hex()}" for one in candidates)
        raise WrongModel(f"the stream needs latents id {latents_id.hex()}, loaded is {known}")

    def to_wire(self) -> types_pb2.ListModelsResponse:
        """Return what ListModels answers."""
        return types_pb2.ListModelsResponse(models=map(model_to_wire, self.infos))


class ReloadableModels:
    """Models that are loaded anew beside those in use; calls end with those they began with.

    Args:
        models: in use, and changed in place.
        load: returns models that are ready.
    """

    def __init__(self, models: Models, load: Callable[[], Models]) -> None:
        self._models = models
        self._load = load
        _tell(models)

    def read(self) -> Use:
        """Load the models of the settings, and change nothing."""
        loaded = self._load()

        def use() -> list[Change]:
            changes = changes_between(Kind.MODEL, _digests(self._models), _digests(loaded))
            self._models.replace_by(loaded)
            _tell(self._models)
            return changes

        return use


def load_models(names: Sequence[str], *, device: str, limits: Limits) -> Models:
    """Load models by name or path, and see each code and decode; so no first call is a slow one.

    Raises:
        ModelError: a model is damaged or cannot run here.
        BadSettings: no model is named, one is unknown, or two have the same name.
    """
    from ugicm_codec import Codec

    if not names:
        raise BadSettings(["at least one model is needed"])
    try:
        codecs = [Codec.load(name, device, limits=limits) for name in names]
    except UnknownModel as error:
        raise BadSettings([str(error)]) from error
    for codec in codecs:
        _warm_up(codec, limits)
    return Models(codecs)


def _warm_up(codec: Codec, limits: Limits) -> None:
    """Code and decode pictures; the codec itself compares the latents' checksums."""
    random = np.random.default_rng(0)
    for height, width in _WARM_UP_SIZES:
        if height * width <= limits.max_pixels:
            image = random.integers(0, 256, (height, width, 3), np.uint8)
            codec.decode_views(codec.encode(image), list(PRESETS.values()))


def _digests(models: Models) -> dict[str, str]:
    return {info.name: info.sha256 for info in models.infos}


def _tell(models: Models) -> None:
    MODEL_INFO.clear()
    for info in models.infos:
        labels = (info.name, info.backbone, info.latents_id.hex(), info.sha256)
        MODEL_INFO.labels(*labels).set(1)
