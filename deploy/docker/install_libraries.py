"""Install the libraries of other people that all images share, as one layer for all of them.

None of the tree's own code is in it: a change of that rebuilds no PyTorch.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

_ROOT = Path("/opt/ugicm/libraries")
_PYTHON = _ROOT / "bin" / "python"
_OURS = re.compile(r"ugicm-")
_GPU_RUNTIME = re.compile(r"(nvidia|cuda)-|triton$")
# Of what is left of PyTorch, only its compiler and its own tests would miss these.
_NEEDLESS = ("torch/include", "torch/test", "torch/bin/test_*", "torch/bin/protoc*", "**/tests")


def main() -> None:
    """Make a virtual environment with the libraries, or end with one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compute", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--torch-index-url", metavar="URL", help="an additional package index")
    parser.add_argument("packages", nargs="+", metavar="FOLDER[EXTRA,...]")
    options = parser.parse_args()

    wanted = sorted({each for package in options.packages for each in _requirements(package)})
    index = ["--extra-index-url", options.torch_index_url] if options.torch_index_url else []
    pip = [
        *(sys.executable, "-m", "pip", "--python", str(_PYTHON), "install", "--quiet"),
        *("--no-cache-dir", "--constraint", "constraints.txt", *index),
    ]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", _ROOT], check=True)
    # Asked before gigabytes are fetched.
    _check_build(options.compute, pip)
    subprocess.run([*pip, *wanted], check=True)
    for site_packages in _ROOT.glob("lib/python*/site-packages"):
        for pattern in _NEEDLESS:
            for path in list(site_packages.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _requirements(package: str) -> list[str]:
    """Return what a package's folder declares, without what is the tree's own."""
    match = re.fullmatch(r"([^\[]+)(?:\[(.+)\])?", package)
    assert match is not None  # it is a line of a Dockerfile
    folder, extras = match.groups()
    project = tomllib.loads((Path(folder) / "pyproject.toml").read_text())["project"]
    declared = list(project["dependencies"])
    for extra in (extras or "").split(",") if extras else ():
        declared += project["optional-dependencies"][extra]
    return [each for each in declared if not _OURS.match(each)]


def _check_build(compute: str, pip: list[str]) -> None:
    asked = [*pip, "--dry-run", "--ignore-installed", "--report", "-", "torch"]
    report = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    names = sorted(each["metadata"]["name"].lower() for each in report["install"])
    runtime = [name for name in names if _GPU_RUNTIME.match(name)]
    if compute == "cpu" and runtime:
        sys.exit(
            f"COMPUTE=cpu, but the package index offers a GPU build of torch (it needs {runtime[0]}"
            f" and {len(runtime) - 1} more): set TORCH_INDEX_URL to PyTorch's index of CPU wheels"
        )
    if compute == "cuda" and not runtime:
        sys.exit(
            "COMPUTE=cuda, but the package index offers a CPU build of torch: "
            "set TORCH_INDEX_URL to PyTorch's index for your CUDA version"
        )


if __name__ == "__main__":
    main()
