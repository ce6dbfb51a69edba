"""Labs that many tests share."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.labs import Lab, running
from tests.waits import await_true


@pytest.fixture(scope="session")
def host_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A healthy lab with one job of two nodes in Training, on this machine's files."""
    with running(tmp_path_factory.mktemp("lab"), "--nodes", "2") as healthy:
        yield healthy


@pytest.fixture(scope="session")
def lab(host_lab: Lab) -> Lab:
    """The lab for tests that do not need another one."""
    return host_lab


@pytest.fixture(scope="session")
def image_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Lab]]:
    """A function from an image's name (see machines/rootfs.py) to a lab with such containers."""
    with contextlib.ExitStack() as labs:

        @functools.cache
        def started(image: str) -> Lab:
            return labs.enter_context(running(tmp_path_factory.mktemp(image), "--image", image))

        yield started


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that a test leaves no helper process and no session.

    End the programs that it has left, stop the jobs it has launched, and forget the routes of its
    connections.
    """
    if "lab" not in request.fixturenames:
        yield
        return
    shared: Lab = request.getfixturevalue("lab")
    yield
    shared.end_programs()
    shared.stop_launched()
    shared.settle()
    shared.forget_routes()
    await_true(lambda: not shared.sessions(), 60, shared.sessions)
