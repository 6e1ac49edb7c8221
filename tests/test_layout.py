"""Whether the packages say what they need, and whether what they need is pinned."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("[!.]*/**/pyproject.toml"))
INSTALLED = importlib.metadata.packages_distributions()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_names(requirements):
    return {canonical(re.match(r"[\w.-]+", requirement).group()) for requirement in requirements}


def project(package):
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


def requirements(package):
    table = project(package)
    extras = table.get("optional-dependencies", {}).values()
    return sum(extras, table.get("dependencies", []))


def declared(package):
    return requirement_names(requirements(package))


def import_names(package):
    return {path.relative_to(package).parts[0] for path in package.glob("**/py.typed")}


def imported_names(package):
    for path in package.glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module.split(".")[0]


OURS = {name: project(package)["name"] for package in PACKAGES for name in import_names(package)}


def foreign_names(package):
    return set(imported_names(package)) - import_names(package) - sys.stdlib_module_names


def owners(name):
    """Return the distributions that bring a name: several may share a namespace."""
    return {OURS[name]} if name in OURS else {canonical(owner) for owner in INSTALLED[name]}


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_import_is_declared(package):
    brought = declared(package)
    undeclared = {name for name in foreign_names(package) if not owners(name) & brought}
    assert not undeclared


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_everything_declared_is_pinned(package):
    assert declared(package) - set(OURS.values()) <= requirement_names(pins())


def without_extras(requirement):
    return re.sub(r"\[.*?\]", "", requirement)


def test_packages_agree_on_the_oldest_versions():
    # Which extras of a package another one needs is its own choice.
    every = {without_extras(one) for package in PACKAGES for one in requirements(package)}
    assert len(every) == len(requirement_names(every)), sorted(every)


def test_pins_name_versions_and_nothing_else():
    assert [pin for pin in pins() if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
