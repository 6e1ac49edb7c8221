"""What searches have found so far, and what they begin with, parsed once more in every run."""

from __future__ import annotations

import warnings

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, run_target

INPUTS = [(name, path) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]


def test_every_target_has_a_corpus():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert {name for name, _ in INPUTS} == set(TARGETS)


@pytest.mark.parametrize(
    ("name", "path"), INPUTS, ids=[f"{name}/{path.name}" for name, path in INPUTS]
)
def test_an_input_is_parsed_or_refused(name, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of files that are almost sound
        run_target(name, path.read_bytes())
