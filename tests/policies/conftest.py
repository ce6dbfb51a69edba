"""One account for all tests of policies: they run on one worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Queue

import pytest

from sm_proxy_lab.aws.control_client import ControlClient
from tests.lab.aws.harness import Lab, start
from tests.policies import place
from tests.policies.place import ClosedGateway, Place


@pytest.fixture(scope="session")
def _account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("policies")
    with ClosedGateway(folder / "gateway.sock") as gateway:
        threading.Thread(target=gateway.serve_forever, args=(0.05,), daemon=True).start()
        process, endpoint, ready = start(folder)
        assert process.stdout is not None
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        lab = Lab(
            endpoint=endpoint,
            control=ControlClient(endpoint),
            gateway=gateway,
            calls_file=folder / "calls",
            events=Queue(),
            pid=process.pid,
            ready_seconds=ready["seconds"],
        )
        yield place.build(lab, folder)
        process.terminate()
        process.wait(60)
        reader.join(60)
        process.stdout.close()
        gateway.shutdown()


@pytest.fixture
def account(_account: Place, capfd: pytest.CaptureFixture[str]) -> Iterator[Place]:
    """The account; a command's output is captured."""
    _account.capture = capfd
    yield _account
    _account.capture = None
    _account.lab.control.clear_faults()
