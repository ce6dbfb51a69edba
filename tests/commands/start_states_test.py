"""Whatever a space and its app are doing: `start` and `stop` end, and what they say is true."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests import soak
from tests.commands.space_runs import Account
from tests.spaces.fake_studio import FakeStudio, StudioAws, changing

HOST = "sm-Lab.space"
_STRANGE = "\x1b]0;x\x07\u202e\nQ"
_SPACES = (
    *("InService", "Update_Failed", "Pending", "Updating"),
    *("Failed", "Deleting", "Delete_Failed", _STRANGE),
)
_APPS = ("InService", "Pending", "Failed", "Deleting", "Deleted", "", _STRANGE)
_TYPES = ("ml.m5.large", "ml.t3.medium", f"ml.{_STRANGE}")


@pytest.mark.parametrize(
    "state",
    [
        *soak.product(_SPACES, _APPS, (True, False), _TYPES),
        *soak.cases(  # the ones that interact
            [("InService", app, remote, _TYPES[0]) for app in _APPS for remote in (True, False)],
            [("InService", app, False, _TYPES[0]) for app in _APPS[:4]],
        ),
    ],
)
@pytest.mark.parametrize("verb", ["start", "stop"])
def test_each_state_has_an_end(
    verb: str,
    state: tuple[str, str, bool, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    space, app, remote, size = state
    account = Account(monkeypatch)
    studio = account.studio = FakeStudio(*filter(None, [app]), remote=remote, InstanceType=size)
    studio.space, studio.reason = [space], _STRANGE
    began = account.clock.now
    status = account.run(verb, HOST, "--yes", "--json")
    shown = capsys.readouterr()
    (answer,) = map(json.loads, shown.out.splitlines())
    assert shown.err.replace("\n", "").isprintable()
    assert account.clock.now - began <= 15 * 60 + 1
    if status:
        assert answer["error"]["hint"]
        assert "Lab" in answer["error"]["message"]
    elif verb == "start":
        assert (studio.app, studio.settings["RemoteAccess"]) == (["InService"], "ENABLED")
        assert answer["data"]["changed"] is bool(changing(account.aws))
    else:
        _check_stopped(studio, answer["data"], changing(account.aws))


def _check_stopped(studio: FakeStudio, data: dict[str, Any], calls: list[str]) -> None:
    assert studio.app in ([], ["Deleted"])
    assert data["stopped"] is bool(calls)
    assert set(calls) <= {"DeleteApp"}


class Interrupted(StudioAws):
    """The user ends the run at one of its calls, before or after the service has done it."""

    def end_at(self, number: int, *, done: bool) -> Interrupted:
        self._end_at, self._done = number, done
        return self

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        ends = len(self.calls) == self._end_at
        if ends and not self._done:
            raise KeyboardInterrupt
        found = super().call(service, operation, **parameters)
        if ends:
            raise KeyboardInterrupt
        return found


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("verb", ["start", "stop"])
def test_a_run_that_is_ended_anywhere_is_gone_on_with(
    verb: str, done: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in itertools.count():
        studio = FakeStudio("InService", remote=False)
        aws = Interrupted(**studio.aws()._answers).end_at(number, done=done)
        with monkeypatch.context() as patch:
            account = Account(patch)
            account.studio = studio
            patch.setattr(studio, "aws", lambda aws=aws: aws)
            first = account.run(verb, HOST, "--yes")
        last = capsys.readouterr().err.splitlines()[-1]
        if first == 0:
            break
        assert first == 130
        assert f"sm-proxy {verb} {HOST}" in last or not changing(aws)
        with monkeypatch.context() as patch:
            account = Account(patch)
            account.studio = studio
            assert account.run(verb, HOST, "--yes") == 0
        assert studio.app == (["InService"] if verb == "start" else ["Deleted"])
        assert studio.settings.get("RemoteAccess") == ("ENABLED" if verb == "start" else None)
    assert number > 3
