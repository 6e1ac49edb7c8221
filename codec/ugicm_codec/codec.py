"""The codec: pictures to streams, and streams to any view of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ugicm_codec.bitstream import Stream, read_stream, write_stream
from ugicm_codec.entropy.fixedpoint import Product
from ugicm_codec.entropy.hyperprior import CodedLatents
from ugicm_codec.entropy.products import PRODUCTS
from ugicm_codec.errors import (
    BadImage,
    BadQuality,
    BudgetTooSmall,
    CorruptStream,
    ImageTooLarge,
    UnusableDevice,
    WrongModel,
)
from ugicm_codec.limits import Limits
from ugicm_codec.models.backbones import DecodedLatents
from ugicm_codec.models.bmshj2018 import LATENT_STRIDE
from ugicm_codec.models.hyperprior import HyperpriorModel
from ugicm_codec.models.modelfile import ModelInfo, read_model_file
from ugicm_codec.views import HUMAN, parse_view

__all__ = ["Analysed", "Codec", "Image", "Latents"]

# A picture: (H, W, 3), RGB.
Image = NDArray[np.uint8]

# Up to 128x128 pixels, a byte budget is met by trying every quality step.
_EXHAUSTIVE_LATENTS = (128 // LATENT_STRIDE) ** 2


@dataclass(frozen=True, eq=False)
class Latents:
    """A stream's exact integers, from which any view is synthesised.

    Attributes:
        integers: ``(h, w, M)`` int16, or int32 where they have fractions; read-only.
        quality_step: the step whose gains they carry.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """

    integers: DecodedLatents
    quality_step: int
    height: int
    width: int

    @property
    def num_bytes(self) -> int:
        """Memory the integers take."""
        return self.integers.nbytes


@dataclass(frozen=True, eq=False)
class Analysed:
    """A picture's latents before gains and rounding, from which any quality is coded.

    Attributes:
        y: ``(M, h, w)`` float32.
        shape: of the picture, in pixels and colours.
    """

    y: torch.Tensor
    shape: tuple[int, ...]


class Codec:
    """Encodes and decodes with one model on one device; safe to share between threads."""

    def __init__(self, model: HyperpriorModel, info: ModelInfo, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self.model = info

    @classmethod
    def load(
        cls,
        name: str = "default",
        device: str = "cpu",
        *,
        limits: Limits | None = None,
        precision: torch.dtype | None = None,
        products: Sequence[Product] = PRODUCTS,
    ) -> Codec:
        """Load a bundled model by name or a model file by path.

        Args:
            device: as PyTorch names it; latents are the same on every device.
            precision: of the transforms; bfloat16 where the device computes in it, else float32.
            products: integer arithmetic to choose from, fastest first; the first that is exact
                on the device is taken.

        Raises:
            ModelError: the model is unknown, damaged, or cannot run here.
        """
        where = _usable(device)
        model_file = read_model_file(name)
        model = HyperpriorModel.build(
            model_file,
            device=where,
            precision=precision or _best_precision(where),
            products=products,
        )
        return cls(model, model_file.info, limits or Limits())

    @property
    def precision(self) -> torch.dtype:
        """The transforms' precision on this device."""
        return self._model.precision

    def encode(
        self, image: Image, quality: int | None = None, *, max_bytes: int | None = None
    ) -> bytes:
        """Return the stream of one picture.

        Args:
            image: ``(H, W, 3)`` uint8, RGB.
            quality: 0 (smallest) to 100 (best); 50 where neither it nor ``max_bytes`` is given.
            max_bytes: instead of a quality: the best quality whose stream has at most so many.

        Raises:
            BadImage: the array has another form.
            ImageTooLarge: it exceeds the limits.
            BadQuality: ``quality`` is out of range, or given together with ``max_bytes``.
            BudgetTooSmall: not even the smallest stream has ``max_bytes``.
        """
        self._check_target(quality, max_bytes)
        return self.code(self.analyse(image), quality, max_bytes=max_bytes)

    def analyse(self, image: Image) -> Analysed:
        """Do the first part of ``encode``, which takes most of its time.

        Raises:
            BadImage: the array has another form.
            ImageTooLarge: it exceeds the limits.
        """
        self._check_image(image)
        with torch.inference_mode():
            return Analysed(self._model.analyse(image[None])[0], image.shape)

    def code(
        self, analysed: Analysed, quality: int | None = None, *, max_bytes: int | None = None
    ) -> bytes:
        """Do the rest of ``encode``, which may run while the next picture is analysed.

        Raises:
            BadQuality: ``quality`` is out of range, or given together with ``max_bytes``.
            BudgetTooSmall: not even the smallest stream has ``max_bytes``.
        """
        step = self._check_target(quality, max_bytes)
        if max_bytes is None:
            return self._code(analysed.y, step, analysed.shape)
        return self._code_within(analysed, max_bytes)

    def encode_batch(self, images: Sequence[Image], quality: int = 50) -> list[bytes]:
        """Return the streams of several pictures; pictures of one size share the transform.

        Raises:
            CodecError: as ``encode``.
        """
        step = self._step(quality)
        for image in images:
            self._check_image(image)
        streams: list[bytes] = [b""] * len(images)
        for indexes in self._batches([image.shape for image in images], LATENT_STRIDE):
            with torch.inference_mode():
                y = self._model.analyse(np.stack([images[index] for index in indexes]))
            for index, one in zip(indexes, y, strict=True):
                streams[index] = self._code(one, step, images[index].shape)
        return streams

    def decode(self, stream: bytes, view: float | str = HUMAN) -> Image:
        """Return one view of a stream.

        Args:
            stream: what ``encode`` returned.
            view: 0 or ``"human"`` to 1 or ``"machine"``.

        Raises:
            BadView: ``view`` is out of range.
            BitstreamError: the bytes are damaged or foreign.
            WrongModel: the stream was coded for other latents.
        """
        return self.decode_views(stream, [view])[0]

    def decode_views(self, stream: bytes, views: Sequence[float | str]) -> list[Image]:
        """Return several views of one stream, whose latents are decoded once.

        Raises:
            CodecError: as ``decode``.
        """
        numbers = [parse_view(view) for view in views]
        latents = self.decode_latents(stream)
        # One after the other, so that a view's pixels do not depend on which others are asked for.
        return [self.synthesise([latents], [view])[0] for view in numbers]

    def decode_batch(self, streams: Sequence[bytes], views: Sequence[float | str]) -> list[Image]:
        """Return one view of each stream; pictures of one size share the transform.

        Raises:
            CodecError: as ``decode``.
        """
        numbers = [parse_view(view) for view in views]
        return self.synthesise(self.decode_latents_batch(streams), numbers)

    def decode_latents(self, stream: bytes) -> Latents:
        """Return a stream's integers, the same on every machine.

        Raises:
            BitstreamError: the bytes are damaged or foreign.
            WrongModel: the stream was coded for other latents.
        """
        return self.decode_latents_batch([stream])[0]

    def decode_latents_batch(self, streams: Sequence[bytes]) -> list[Latents]:
        """Return the integers of several streams; pictures of one size share the entropy model.

        Raises:
            BitstreamError: the bytes of one are damaged or foreign.
            WrongModel: one was coded for other latents.
        """
        parsed = [self._parse(stream) for stream in streams]
        sizes = [(each.header.height, each.header.width) for each in parsed]
        latents: list[Latents | None] = [None] * len(parsed)
        for indexes in self._batches(sizes, LATENT_STRIDE):
            headers = [parsed[index].header for index in indexes]
            coded = [
                CodedLatents(parsed[index].hyper, parsed[index].latents, header.latents_crc)
                for index, header in zip(indexes, headers, strict=True)
            ]
            h, w = (-(-side // LATENT_STRIDE) for side in (headers[0].height, headers[0].width))
            with torch.inference_mode():
                decoded = self._model.coder.decode(coded, h, w)
            for index, header, integers in zip(indexes, headers, decoded, strict=True):
                integers.setflags(write=False)
                latents[index] = Latents(integers, header.quality_step, header.height, header.width)
        return [each for each in latents if each is not None]

    def _parse(self, stream: bytes) -> Stream:
        """Verify a stream and that this model decodes it.

        Raises:
            BitstreamError: the bytes are damaged or foreign.
            WrongModel: the stream was coded for other latents.
        """
        parsed = read_stream(stream, self._limits)
        header = parsed.header
        if header.latents_id != self.model.latents_id:
            raise WrongModel(
                f"the stream needs latents id {header.latents_id.hex()}, "
                f"model {self.model.name} has {self.model.latents_id.hex()}"
            )
        if header.quality_step >= self.model.quality_steps:
            raise CorruptStream(
                f"the model has {self.model.quality_steps} quality steps, "
                f"the stream names step {header.quality_step}"
            )
        return parsed

    def synthesise(self, latents: Sequence[Latents], views: Sequence[float | str]) -> list[Image]:
        """Return one picture of each latents and view; equal sizes share the transform.

        Raises:
            BadView: a view is out of range.
            ValueError: the two sequences differ in length.
        """
        if len(latents) != len(views):
            raise ValueError(f"one view for each latents, got {len(views)} for {len(latents)}")
        numbers = [parse_view(view) for view in views]
        images: list[Image | None] = [None] * len(latents)
        for indexes in self._batches([item.integers.shape for item in latents], 1):
            with torch.inference_mode():
                pictures = self._model.synthesise(
                    [latents[index].integers for index in indexes],
                    [latents[index].quality_step for index in indexes],
                    [numbers[index] for index in indexes],
                )
            for index, picture in zip(indexes, pictures, strict=True):
                item = latents[index]
                images[index] = np.ascontiguousarray(picture[: item.height, : item.width])
        return [image for image in images if image is not None]

    def _code_within(self, analysed: Analysed, max_bytes: int) -> bytes:
        y, shape = analysed.y, analysed.shape
        steps = self.model.quality_steps
        # A step's size is known once coded. Sizes grow with the step but for small wiggles, which
        # only count where streams are so small that coding them all costs nothing.
        if y[0].numel() <= _EXHAUSTIVE_LATENTS:
            streams = [self._code(y, step, shape) for step in range(steps)]
            fitting = [stream for stream in streams if len(stream) <= max_bytes]
            best = fitting[-1] if fitting else None
            smallest = min(len(stream) for stream in streams)
        else:
            best, smallest = self._bisect(y, shape, max_bytes)
        if best is None:
            raise BudgetTooSmall(
                f"the smallest stream of this picture has {smallest} bytes, "
                f"the budget is {max_bytes}",
                smallest,
            )
        return best

    def _bisect(
        self, y: torch.Tensor, shape: tuple[int, ...], max_bytes: int
    ) -> tuple[bytes | None, int]:
        """Return the stream of the best step that fits, if one does, and the smallest size."""
        first = self._code(y, 0, shape)
        best = first if len(first) <= max_bytes else None
        low, high = 0, self.model.quality_steps - 1
        while best is not None and low < high:
            middle = (low + high + 1) // 2
            stream = self._code(y, middle, shape)
            if len(stream) <= max_bytes:
                best, low = stream, middle
            else:
                high = middle - 1
        return best, len(first)

    def _code(self, y: torch.Tensor, step: int, shape: tuple[int, ...]) -> bytes:
        with torch.inference_mode():
            coded = self._model.encode(y, step)
        return write_stream(
            latents_id=self.model.latents_id,
            height=shape[0],
            width=shape[1],
            quality_step=step,
            latents_crc=coded.checksum,
            hyper=coded.hyper,
            latents=coded.latents,
        )

    def _check_target(self, quality: int | None, max_bytes: int | None) -> int:
        """Return the step of the quality; with a budget, whatever it may come to is tried."""
        if max_bytes is None:
            return self._step(50 if quality is None else quality)
        if quality is not None:
            raise BadQuality("give a quality or max_bytes, not both")
        return 0

    def _step(self, quality: int) -> int:
        is_integer = isinstance(quality, int | np.integer) and not isinstance(quality, bool)
        if not is_integer or not 0 <= quality <= 100:
            raise BadQuality(f"quality is an integer from 0 to 100, got {quality!r}")
        return (int(quality) * (self.model.quality_steps - 1) + 50) // 100

    def _batches(self, shapes: Sequence[tuple[int, ...]], stride: int) -> list[list[int]]:
        return _batches(shapes, stride=stride, tile_side=self._model.tile_side)

    def _check_image(self, image: Image) -> None:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            kind = getattr(image, "dtype", type(image).__name__)
            raise BadImage(f"a picture is a uint8 array, got {kind}")
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise BadImage(f"a picture has shape (H, W, 3) and pixels, got {image.shape}")
        height, width = image.shape[:2]
        limits = self._limits
        if max(height, width) > limits.max_side or height * width > limits.max_pixels:
            raise ImageTooLarge(
                f"at most {limits.max_pixels} pixels and {limits.max_side} along a side, "
                f"got {height}x{width}"
            )


def _batches(shapes: Sequence[tuple[int, ...]], *, stride: int, tile_side: int) -> list[list[int]]:
    """Group equal shapes, and no more of them than together fill a tile: memory stays bounded."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(index)
    batches = []
    for shape, indexes in groups.items():
        area = -(-shape[0] // stride) * -(-shape[1] // stride)
        size = max(1, tile_side**2 // area)
        batches += [indexes[first : first + size] for first in range(0, len(indexes), size)]
    return batches


def _usable(device: str) -> torch.device:
    try:
        where = torch.device(device)
        torch.empty(1, device=where)
    # PyTorch has no error of its own for a device that is not there.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition(".")[0].splitlines()[0]
        raise UnusableDevice(f"cannot compute on {device}: {reason}") from error
    return where


def _best_precision(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # oneDNN answers for what it emulates, too; emulated, bfloat16 is slower than float32.
        native = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and (
            torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        )
    return torch.bfloat16 if native else torch.float32
