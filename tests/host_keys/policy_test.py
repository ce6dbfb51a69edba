"""Which host keys a connection accepts, and what the refusal of another key says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy import public_key
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.host_keys import known_hosts, policy
from sm_proxy.host_keys.policy import HostKeyPolicy
from sm_proxy.jobs.container import Container
from sm_proxy.settings import Settings
from tests.fakes import HOST_KEY, NODE_STREAM, Clock, blob_of, container

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1WPFtcsn2Qsy5Uf9dxpbUR8VuA4tOSFOdgbgjckIHq"


class Place:
    """A laptop with a connection to a container that has `HOST_KEY`."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(ssh_dir=str(folder))

    def keys(
        self, look: Callable[[], Container] | None = None, *, on_first_use: bool = False
    ) -> HostKeyPolicy:
        found = container(cached=look is not None)
        keys = HostKeyPolicy(self.settings, found, look or container)
        keys.pin(found, on_first_use=on_first_use)
        return keys

    @property
    def pinned(self) -> str:
        return known_hosts.path_of(self.settings, "sm-my-job").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(policy, "time", found)
    return found


def fails(code: Code, message: str) -> Callable[[], Container]:
    def look() -> Container:
        raise SmProxyError(code, message)

    return look


def refused(keys: HostKeyPolicy, key: str = OTHER) -> SmProxyError:
    error = keys.judge(blob_of(key), "i-1")
    assert error is not None
    return error


def test_only_pinned_keys_are_accepted(place: Place) -> None:
    keys = place.keys()
    assert keys.accepts(blob_of(HOST_KEY))
    assert not keys.accepts(blob_of(OTHER))
    assert place.pinned == f"* {HOST_KEY}\n"


def test_no_log_is_waited_for_if_bootstrap_has_seen_the_keys(tmp_path: Path, clock: Clock) -> None:
    found = container(source="session", address=None, remote_debug=True)
    keys = HostKeyPolicy(Settings(ssh_dir=str(tmp_path)), found, container)
    keys.pin(found, on_first_use=False)
    assert keys.accepts(blob_of(HOST_KEY))
    assert "bootstrap has seen in job my-job, node algo-1" in refused(keys).message
    assert clock.slept == []


def test_the_refusal_names_both_keys_and_the_place(place: Place) -> None:
    error = refused(place.keys())
    assert error.code == "host-key-changed"
    seen, named = (
        public_key.describe_blob(blob_of(OTHER)),
        public_key.describe_blob(blob_of(HOST_KEY)),
    )
    assert error.message == (
        f"10.0.1.5 port 2222 (through i-1) has the host key {seen}, "
        f"but the log of job my-job, node algo-1, stream {NODE_STREAM} names {named}"
    )
    assert error.hint.endswith("sm-proxy doctor sm-my-job")


def test_a_restarted_container_is_accepted_by_its_new_log(place: Place) -> None:
    keys = place.keys(lambda: container(host_keys=(OTHER,)))
    assert not keys.accepts(blob_of(OTHER))
    assert keys.judge(blob_of(OTHER), "") is None
    assert place.pinned == f"* {OTHER}\n"


class Log:
    """A log that shows its new marker after some seconds."""

    def __init__(self, clock: Clock, lag: float, before: Code | None = None) -> None:
        self._clock = clock
        self._shown = clock.now + lag
        self._before: Code | None = before
        self.looks = 0

    def look(self) -> Container:
        self.looks += 1
        if self._clock.now >= self._shown:
            return container(host_keys=(OTHER,))
        if self._before:
            raise SmProxyError(self._before, "nothing yet")
        return container()


@pytest.mark.parametrize("before", [None, "no-address"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_lagging_log_is_read_again(
    place: Place,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    before: Code | None,
    *,
    cached: bool,
) -> None:
    """A new stream may exist before its marker: then there is no address."""
    log = Log(clock, 5, before)
    keys = HostKeyPolicy(place.settings, container(cached=cached), log.look)
    keys.pin(container(), on_first_use=False)
    assert keys.judge(blob_of(OTHER), "") is None
    assert place.pinned == f"* {OTHER}\n"
    assert log.looks <= 4
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith("sm-proxy: 10.0.1.5 port 2222 has another host key")


def test_a_log_that_is_current_causes_no_wait(
    place: Place, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(clock, 0)
    assert place.keys(log.look).judge(blob_of(OTHER), "") is None
    assert (log.looks, sum(clock.slept), capsys.readouterr().err) == (1, 0, "")


def test_a_key_that_the_log_never_names_is_refused(place: Place, clock: Clock) -> None:
    for keys in (place.keys(container), place.keys()):
        began = clock.now
        error = refused(keys)
        assert public_key.describe_blob(blob_of(HOST_KEY)) in error.message
        assert place.pinned == f"* {HOST_KEY}\n"
        assert clock.now - began == 6


def test_the_refusal_names_the_new_address_of_a_moved_container(place: Place, clock: Clock) -> None:
    third = OTHER.replace("IO1W", "IO1X")
    error = refused(place.keys(lambda: container(address="10.0.1.9", host_keys=(third,))))
    assert error.code == "host-key-changed"
    assert "10.0.1.5 port 2222" in error.message
    assert public_key.describe_blob(blob_of(third)) in error.message
    assert error.hint == "The container is at 10.0.1.9 port 2222 now: connect again."
    assert sum(clock.slept) == 0


def test_the_refusal_says_that_the_key_was_pinned_on_first_use(place: Place, clock: Clock) -> None:
    error = refused(place.keys(on_first_use=True))
    assert "another was pinned on first use of job my-job, node algo-1: SHA256:" in error.message
    kept = refused(place.keys(lambda: container(host_keys=()), on_first_use=True))
    assert "pinned on first use" in kept.message
    assert sum(clock.slept) == 0, "such a log has never named a key"
    logged = refused(place.keys(container, on_first_use=True))
    assert "but the log of" in logged.message


def test_the_refusal_of_a_node_names_its_cluster(place: Place) -> None:
    found = container(kind="hyperpod", job="c", node="workers.i-1", source=None)
    keys = HostKeyPolicy(place.settings, found, lambda: found)
    keys.pin(found, on_first_use=True)
    message = refused(keys).message
    assert "another was pinned on first use of cluster c, node workers.i-1: SHA256:" in message


def test_the_refusal_says_why_the_log_cannot_be_read_again(place: Place, clock: Clock) -> None:
    error = refused(place.keys(fails("network", "no way to AWS")))
    assert sum(clock.slept) == 0
    assert error.code == "host-key-changed"
    assert error.message.endswith("(it could not be read again: no way to AWS)")


def test_the_end_of_the_job_is_reported_instead_of_the_key(place: Place) -> None:
    codes: tuple[Code, ...] = ("job-ended", "job-failed", "wrong-user")
    for code in codes:
        assert refused(place.keys(fails(code, "so it is"))).code == code
