"""Encodes or decodes in a process of its own, as another machine would; see test_exactness.

``encode FOLDER MODEL...`` reads FOLDER/*.npy and writes FOLDER/*.ugi, on one thread without oneDNN;
``decode FOLDER MODEL...`` prints the SHA-256 of each stream's latents, by each integer product.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from ugicm_codec import Codec
from ugicm_codec.entropy.products import PRODUCTS

QUALITIES = (0, 40, 100)


def main() -> None:
    command, folder, models = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    if command == "encode":
        _encode(folder, models)
    else:
        print(json.dumps(_decode(folder, models)))


def _encode(folder: Path, models: list[str]) -> None:
    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)
    for index, model in enumerate(models):
        codec = Codec.load(model, precision=torch.float32)
        for path in sorted(folder.glob("*.npy")):
            for quality in QUALITIES:
                stream = codec.encode(np.load(path), quality)
                path.with_name(f"{index}-{path.stem}-{quality}.ugi").write_bytes(stream)


def _decode(folder: Path, models: list[str]) -> dict[str, list[str]]:
    torch.set_num_threads(2)
    decoded: dict[str, list[str]] = {}
    for index, model in enumerate(models):
        streams = {path.stem: path.read_bytes() for path in sorted(folder.glob(f"{index}-*.ugi"))}
        for product in PRODUCTS:
            codec = Codec.load(model, precision=torch.bfloat16, products=[product])
            # Whatever else the process computes with other pictures changes no integer.
            codec.decode_batch(list(streams.values())[:4], [0.0, 1.0, 0.3, 0.0])
            for name, stream in streams.items():
                integers = codec.decode_latents(stream).integers
                decoded.setdefault(name, []).append(hashlib.sha256(integers.tobytes()).hexdigest())
    return decoded


if __name__ == "__main__":
    main()
