"""The wire contract: its bytes, its comments, its stubs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, runtime_version
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_tools import protoc
from packaging.requirements import Requirement
from packaging.version import Version

from ugicm.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    analytics_pb2,
    analytics_pb2_grpc,
    decoder_pb2,
    decoder_pb2_grpc,
    encoder_pb2,
    encoder_pb2_grpc,
    types_pb2,
)

PROTOS = Path(__file__).parents[2] / "protos"
MODULES = [types_pb2, encoder_pb2, decoder_pb2, analytics_pb2, admin_pb2]
STUBS = [encoder_pb2_grpc, decoder_pb2_grpc, analytics_pb2_grpc, admin_pb2_grpc]


def test_a_frame_has_these_bytes():  # a round trip cannot see fields renumbered on both sides
    frame = types_pb2.Frame(
        key=types_pb2.FrameKey(camera="gate", epoch=5, sequence=300),
        capture_time=Timestamp(seconds=1, nanos=2),
        stream=b"UG",
    )
    assert frame.SerializeToString() == bytes.fromhex(
        "0a 0b 0a 04 67617465 10 05 18 ac02  12 04 08 01 10 02  1a 02 5547"
    )


def test_a_decode_request_has_these_bytes():
    request = decoder_pb2.DecodeRequest(
        stream=b"UG",
        views=[
            types_pb2.View(preset=types_pb2.VIEW_PRESET_MACHINE),
            types_pb2.View(number=0.5),
        ],
        format=types_pb2.PIXEL_FORMAT_PNG,
        jpeg_quality=7,
        model="m",
    )
    assert request.SerializeToString() == bytes.fromhex(
        "12 02 5547  1a 02 08 02  1a 09 11 000000000000e03f  20 02  28 07  32 01 6d"
    )


def test_an_absent_view_differs_from_view_zero():
    assert types_pb2.View().WhichOneof("view") is None
    zero = types_pb2.View.FromString(types_pb2.View(number=0.0).SerializeToString())
    assert zero.WhichOneof("view") == "number"


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> descriptor_pb2.FileDescriptorSet:
    output = tmp_path_factory.mktemp("contract") / "set"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            "--include_source_info",
            f"--descriptor_set_out={output}",
            *(str(path) for path in sorted(PROTOS.glob("ugicm/v1/*.proto"))),
        ]
    )
    assert status == 0
    return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


def _elements(
    file: descriptor_pb2.FileDescriptorProto,
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and the source path of everything a reader may look up."""

    def of_enum(
        enum: descriptor_pb2.EnumDescriptorProto, path: tuple[int, ...]
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield enum.name, path
        for index, value in enumerate(enum.value):
            yield value.name, (*path, 2, index)

    def of_message(
        message: descriptor_pb2.DescriptorProto, path: tuple[int, ...]
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield message.name, path
        synthetic = {field.oneof_index for field in message.field if field.proto3_optional}
        for index, field in enumerate(message.field):
            yield f"{message.name}.{field.name}", (*path, 2, index)
        for index, oneof in enumerate(message.oneof_decl):
            if index not in synthetic:
                yield f"{message.name}.{oneof.name}", (*path, 8, index)
        for index, nested in enumerate(message.nested_type):
            yield from of_message(nested, (*path, 3, index))
        for index, enum in enumerate(message.enum_type):
            yield from of_enum(enum, (*path, 4, index))

    for index, message in enumerate(file.message_type):
        yield from of_message(message, (4, index))
    for index, enum in enumerate(file.enum_type):
        yield from of_enum(enum, (5, index))
    for index, service in enumerate(file.service):
        yield service.name, (6, index)
        for method_index, method in enumerate(service.method):
            yield f"{service.name}.{method.name}", (6, index, 2, method_index)


def test_everything_in_the_contract_has_a_comment(described):
    bare = [
        f"{file.name}: {name}"
        for file in described.file
        for name, path in _elements(file)
        if not any(
            tuple(location.path) == path and location.leading_comments.strip()
            for location in file.source_code_info.location
        )
    ]
    assert sum(len(list(_elements(file))) for file in described.file) > 300
    assert bare == []


def test_the_zero_of_every_enum_is_unspecified(described):
    zeros = [enum.value[0] for file in described.file for enum in file.enum_type]
    assert zeros
    assert all(zero.number == 0 and zero.name.endswith("_UNSPECIFIED") for zero in zeros)


def test_the_stubs_match_the_contract():
    script = PROTOS / "generate.py"
    check = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")


def _lower_bound(name: str) -> Version:
    project = tomllib.loads((PROTOS / "pyproject.toml").read_text())["project"]
    (requirement,) = (
        requirement
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == name
    )
    (specifier,) = requirement.specifier
    assert specifier.operator == ">="
    return Version(specifier.version)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_messages_load_on_the_oldest_protobuf_declared(module, monkeypatch):
    bound = _lower_bound("protobuf")
    monkeypatch.setattr(runtime_version, "MAJOR", bound.major)
    monkeypatch.setattr(runtime_version, "MINOR", bound.minor)
    monkeypatch.setattr(runtime_version, "PATCH", bound.micro)
    monkeypatch.setattr(runtime_version, "SUFFIX", "")
    exec(compile(Path(module.__file__).read_text(), module.__file__, "exec"), {})


@pytest.mark.parametrize("module", STUBS, ids=lambda module: module.__name__)
def test_stubs_load_on_the_oldest_grpc_declared(module):
    assert Version(module.GRPC_GENERATED_VERSION) <= _lower_bound("grpcio")
    assert Version(module.GRPC_GENERATED_VERSION) <= Version(grpc.__version__)
