"""One account for all tests of policies: they run on one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sm_proxy.aws import models
from tests.lab.aws.harness import running
from tests.policies import place
from tests.policies.place import ClosedGateway, Place


@pytest.fixture(scope="session")
def _account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("policies")
    with running(folder, gateway=ClosedGateway) as lab, pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_files", [])
        models.keep_files()  # as a daemon: no other process runs so many commands
        yield place.build(lab, folder)


@pytest.fixture
def account(_account: Place, capfd: pytest.CaptureFixture[str]) -> Iterator[Place]:
    """The account; a command's output is captured."""
    _account.capture = capfd
    yield _account
    _account.capture = None
    _account.lab.control.clear_faults()
