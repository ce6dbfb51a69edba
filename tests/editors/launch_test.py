from __future__ import annotations

import json
import sys

import pytest

from sm_proxy.editors import launch
from sm_proxy.errors import SmProxyError


def test_a_plain_name_stays_readable() -> None:
    assert launch.remote_authority("sm-job.algo-2") == "ssh-remote+sm-job.algo-2"


@pytest.mark.parametrize(("host", "user"), [("sm-MyJob", None), ("sm-job", "ubuntu")])
def test_case_and_user_survive(host: str, user: str | None) -> None:
    scheme, _, digits = launch.remote_authority(host, user).partition("+")
    assert (scheme, digits) == ("ssh-remote", digits.lower())
    known = {"hostName": host, "user": user} if user else {"hostName": host}
    assert json.loads(bytes.fromhex(digits)) == known


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, []),
        ("/opt/ml/code", ["/opt/ml/code"]),
        ("/opt/ml/v1.2", ["/opt/ml/v1.2/"]),
        ("/opt/.cache", ["/opt/.cache/"]),
        ("/opt/a.b/", ["/opt/a.b/"]),
        ("/opt/x.code-workspace", ["/opt/x.code-workspace"]),
        ("/a b/100%", ["/a b/100%"]),
    ],
)
def test_the_command_line_names_host_and_folder(path: str | None, words: list[str]) -> None:
    expected = ["/bin/code", "--remote", "ssh-remote+sm-x", *words]
    assert launch.editor_command("/bin/code", "sm-x", path) == expected


def test_special_characters_of_cmd_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert launch.editor_command("code.cmd", "sm-x", "/a b")[-1] == "/a b"
    with pytest.raises(SmProxyError, match=r"cmd\.exe"):
        launch.editor_command("code.cmd", "sm-x", "/a&calc")


@pytest.mark.parametrize("program", ["/nowhere/code", "false"])
def test_a_failing_editor_is_an_error(program: str) -> None:
    with pytest.raises(SmProxyError, match="could not open") as caught:
        launch.start([program])
    assert caught.value.code == "unsupported"
