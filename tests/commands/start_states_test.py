"""Whatever a space and its app are doing: `start` and `stop` end, and what they say is true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import soak
from tests.commands.space_runs import Account
from tests.spaces.fake_studio import FakeStudio, changing

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
    status = account.run(verb, "sm-Lab.space", "--yes", "--json")
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
