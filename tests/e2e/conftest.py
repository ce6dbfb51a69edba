"""Labs that several tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.labs import Lab, await_true, running


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A healthy lab with one job of two nodes in Training."""
    with running(tmp_path_factory.mktemp("lab"), "--nodes", "2") as healthy:
        yield healthy


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test may leave a helper process or a session."""
    yield
    if "lab" in request.fixturenames:
        shared: Lab = request.getfixturevalue("lab")
        shared.settle()
        await_true(lambda: not shared.sessions(), 60, shared.sessions)
