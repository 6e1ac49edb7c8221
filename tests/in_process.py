"""A fixture for tests that call a service's ``main``: import it where it is to hold."""

import logging
import resource
import sys

import pytest


@pytest.fixture(autouse=True)
def process_as_it_was():
    """Give back what ``main`` sets up for a process of its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    interval, files = sys.getswitchinterval(), resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.setswitchinterval(interval)
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
