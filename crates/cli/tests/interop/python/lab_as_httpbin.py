"""A plugin for pytest: the fixtures of pytest-httpbin, with the lab as the httpbin."""

import os
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def httpbin():
    return SimpleNamespace(url=os.environ["LAB_HTTP"])


@pytest.fixture(scope="session")
def httpbin_secure():
    return SimpleNamespace(url=os.environ["LAB_HTTPS"])


@pytest.fixture(scope="session")
def httpbin_ca_bundle():
    return os.environ["LAB_CA"]
