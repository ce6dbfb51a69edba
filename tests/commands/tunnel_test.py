from __future__ import annotations

import contextlib
import webbrowser
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy import cli, resolver, ssh_client
from sm_proxy.commands import tunnel
from sm_proxy.errors import SmProxyError
from tests import fakes


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A job that is connected once, and then has ended with the first of these statuses."""
    statuses = ["Completed"]

    def resolve(*_: Any, **__: Any) -> None:
        raise SmProxyError("job-ended", f"training job my-job is {statuses[0]}")

    def account(*_: Any) -> fakes.FakeAws:
        return fakes.working(DescribeTrainingJob=fakes.description(statuses[0], statuses[0]))

    transport = SimpleNamespace(is_active=lambda: False)
    lost = SimpleNamespace(
        container=fakes.container(),
        failure=None,
        get_transport=lambda: transport,
        close=lambda: None,
    )
    monkeypatch.setattr(ssh_client, "connect", lambda *_: lost)
    monkeypatch.setattr(resolver, "resolve", resolve)
    monkeypatch.setattr(tunnel, "Aws", account)
    monkeypatch.setattr(tunnel, "no_session_left_open", contextlib.nullcontext)
    return statuses


@pytest.mark.parametrize(("status", "code"), [("Completed", 0), ("Stopped", 1)])
def test_the_jobs_end_decides_the_exit_status(
    ended: list[str], capsys: pytest.CaptureFixture[str], status: str, code: int
) -> None:
    ended[0] = status
    assert cli.main(["tunnel", "sm-my-job", "0:6006", "0:8888"]) == code
    out, err = capsys.readouterr()
    urls = out.splitlines()
    assert len(urls) == 2
    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    assert f"training job my-job is {status}" in err.splitlines()[-1]
    assert ("job-ended" in err) is bool(code)


@pytest.mark.parametrize("screen", ["", ":0"])
def test_open_shows_the_first_port_or_says_that_there_is_no_browser(
    ended: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    screen: str,
) -> None:
    shown: list[str] = []

    def show(url: str) -> bool:
        shown.append(url)
        return True

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(webbrowser, "open", show)
    for name in ("WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", screen)
    assert cli.main(["tunnel", "sm-my-job", "0:6006", "0:8888", "--open"]) == 0
    out, err = capsys.readouterr()
    url = out.splitlines()[0]
    assert shown == ([url] if screen else [])
    assert (f"no browser can be opened here: open {url} yourself" in err) is not bool(screen)


def test_an_invalid_port_argument_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["tunnel", "sm-my-job", "http"])
    assert caught.value.code == 2
    assert "it must be PORT or LOCAL:PORT, not 'http'" in capsys.readouterr().err
