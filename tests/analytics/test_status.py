"""Every error a call can raise has one status."""

from __future__ import annotations

from ugicm_analytics.errors import AnalyticsError
from ugicm_analytics.status import ANALYTICS_STATUS
from ugicm_analyzers.errors import BadLabels, UnknownAnalyzer
from ugicm_codec.errors import CodecError
from ugicm_servicekit.errors import CallError
from ugicm_servicekit.status import leaves


def test_every_error_a_handler_can_raise_has_a_status():
    expected = leaves(CodecError) | leaves(CallError) | leaves(AnalyticsError)
    # What is wrong with an analyzer's specification or weights stops the start, and no call.
    expected |= {BadLabels, UnknownAnalyzer}
    assert set(ANALYTICS_STATUS) == expected
