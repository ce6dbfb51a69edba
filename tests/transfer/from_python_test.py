"""`sm_proxy.copy`: what it passes on, and what it raises."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import sm_proxy
from sm_proxy.errors import SmProxyError
from sm_proxy.local import output
from sm_proxy.transfer import copy as copying
from sm_proxy.transfer.model import Outcome, Place, Problem
from sm_proxy.transfer.task import Options

WHOLE = Outcome(1, 10, 1.0, 1, "ssh", verified=True)


def copied(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def copy(*arguments: Any, **named: Any) -> Outcome:
        calls.append((*arguments, named))
        output.status("a line for people")
        return outcome

    monkeypatch.setattr(copying, "copy", copy)
    return calls


def test_paths_and_options_are_those_of_cp(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = copied(monkeypatch, WHOLE)
    found = sm_proxy.copy(
        "sm-bert:a", Path("sm-x:y"), recursive=True, sessions=2, region="eu-west-1"
    )
    assert found == WHOLE
    ends, settings, _, options, named = calls[0]
    assert ends.sources == (Place("a", "sm-bert"),)
    assert ends.target == Place("./sm-x:y")
    assert settings.region == "eu-west-1"
    assert settings.wait == 0
    assert options == Options(recursive=True, sessions=2)
    assert named["progress"] is None
    assert capsys.readouterr() == ("", "")


def test_a_keyword_that_is_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = copied(monkeypatch, WHOLE)
    with pytest.raises(SmProxyError) as caught:
        sm_proxy.copy("sm-bert:a", ".", colour="red")
    assert caught.value.code == "bad-setting"
    assert not calls


def test_an_incomplete_copy_raises_with_its_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("/x", SmProxyError("copy-failed", "/x: Permission denied"))
    partial = Outcome(1, 10, 1.0, 1, "ssh", verified=True, problems=(problem,))
    copied(monkeypatch, partial)
    with pytest.raises(sm_proxy.CopyError) as caught:
        sm_proxy.copy(["sm-bert:a", "sm-bert:b"], ".")
    assert caught.value.code == "copy-failed"
    assert caught.value.outcome is partial
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert (again.code, again.text) == (caught.value.code, caught.value.text)
    assert again.outcome.files == 1


def test_unverified_files_raise_unless_they_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    copied(monkeypatch, Outcome(1, 10, 1.0, 1, "ssh", verified=False))
    with pytest.raises(sm_proxy.CopyError) as caught:
        sm_proxy.copy("sm-bert:a", ".")
    assert caught.value.code == "not-verified"
    assert not sm_proxy.copy("sm-bert:a", ".", verify=False).verified
