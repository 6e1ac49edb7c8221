"""Generate the Python stubs beside the contract, or check that they match it."""

from __future__ import annotations

import argparse
import re
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PROTOS = sorted(path.relative_to(ROOT) for path in ROOT.glob("ugicm/v1/*.proto"))


def generate(destination: Path) -> None:
    """Write the stubs of every .proto file under ``destination``."""
    scripts = Path(sysconfig.get_path("scripts"))
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={ROOT}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={destination}",
            f"--grpc_python_out={destination}",
            f"--mypy_out=readable_stubs,quiet:{destination}",
            f"--mypy_grpc_out=readable_stubs,quiet,only_async:{destination}",
            *map(str, PROTOS),
        ]
    )
    if status != 0:
        raise SystemExit(status)
    for proto in PROTOS:  # protoc writes service stubs for files without services too
        if not re.search(r"^service ", (ROOT / proto).read_text(), re.MULTILINE):
            for path in (destination / proto).parent.glob(f"{proto.stem}_pb2_grpc.py*"):
                path.unlink()


def stubs(directory: Path) -> dict[Path, bytes]:
    """Return the stubs under ``directory`` by their relative paths."""
    return {
        path.relative_to(directory): path.read_bytes()
        for path in sorted(directory.glob("ugicm/v1/*_pb2*.py*"))
    }


def differing(fresh: dict[Path, bytes], committed: dict[Path, bytes]) -> list[Path]:
    """Return the paths that are missing on one side or differ."""
    paths = sorted(fresh.keys() | committed.keys())
    return [path for path in paths if fresh.get(path) != committed.get(path)]


def main() -> int:
    """Generate or check, and return the exit status."""
    parser = argparse.ArgumentParser(description="Generate the stubs of the wire contract.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    arguments = parser.parse_args()
    if not arguments.check:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        stale = differing(stubs(Path(directory)), stubs(ROOT))
    for path in stale:
        print(f"{path} differs from its .proto: run python protos/generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
