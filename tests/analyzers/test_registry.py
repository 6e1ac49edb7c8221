"""Analyzers are known by their names."""

from __future__ import annotations

import pytest
from ugicm_analyzers.errors import UnknownAnalyzer
from ugicm_analyzers.registry import ANALYZERS, load_analyzers

from ugicm_analytics.settings import AnalyticsSettings


def test_every_analyzer_has_the_name_it_is_registered_by():
    assert {name: make().info.name for name, make in ANALYZERS.items()} == {
        name: name for name in ANALYZERS
    }


def test_analyzers_come_in_the_order_of_their_names():
    assert list(load_analyzers(["people", "faces"])) == ["faces", "people"]


def test_an_unknown_name_is_answered_by_those_that_exist():
    with pytest.raises(UnknownAnalyzer, match="'dogs'; there are faces, people"):
        load_analyzers(["faces", "dogs"])


def test_the_default_settings_name_analyzers_that_exist():
    assert set(AnalyticsSettings().analyzers) <= set(ANALYZERS)
