from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sm_proxy.doctor import support_bundle
from sm_proxy.doctor.check import Context, Finding
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from tests.fakes import FakeAws

SECRET = "wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLETOKEN"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_PROFILE", "research")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy.example:3128")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "debug.log").write_text(f"step one\nheader {SECRET} and {TOKEN}\n")
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "config").write_text("Host sm-*\n    User root\n")
    empty = tmp_path / "config"
    empty.write_text("")
    return Context(Settings(ssh_dir=str(tmp_path / "ssh")), "sm-job", FakeAws(), ssh_config=empty)


FINDINGS = [Finding("python", "passed", f"3.11 {SECRET}", 1)]


def test_the_report_has_every_part_and_no_secret(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    support_bundle.write(path, context, FINDINGS)
    text = path.read_text()
    for part in ("## versions", "python", "Host sm-*", "step one", "AWS_PROFILE=research"):
        assert part in text
    assert "hostname sm-job" in text  # ssh -G
    for secret in (SECRET, TOKEN, "hunter2"):
        assert secret not in text
    assert "proxy.example:3128" in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://me:hun@ter2@proxy.example:3128", "http://<login>@proxy.example:3128"),
        ("me:hunter2@proxy.example:3128", "<login>@proxy.example:3128"),
        ("http://proxy.example:3128", "http://proxy.example:3128"),
    ],
)
def test_a_proxys_login_is_removed_in_every_spelling(
    proxy: str, shown: str, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    path = tmp_path / "report.txt"
    support_bundle.write(path, context, FINDINGS)
    assert f"HTTPS_PROXY={shown}\n" in path.read_text()


def test_an_unwritable_path_fails(context: Context, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SmProxyError) as caught:
        support_bundle.write(tmp_path / "file" / "report.txt", context, FINDINGS)
    assert caught.value.code == "config-read-only"
    assert caught.value.message.endswith("report.txt cannot be written: File exists")


@pytest.mark.parametrize("error", [KeyError("no passwd entry"), OSError("no passwd entry")])
def test_a_user_without_name_or_home_gets_a_report(
    error: Exception, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose user id is not in /etc/passwd."""

    def nobody() -> str:
        raise error

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr(Path, "home", nowhere)
    path = tmp_path / "report.txt"
    support_bundle.write(path, context, FINDINGS)
    assert "## versions" in path.read_text()


def test_a_device_is_written_to_and_stays_a_device(context: Context, tmp_path: Path) -> None:
    """`--bundle /dev/stdout`, run as root."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        support_bundle.write(pipe, context, FINDINGS)
        assert os.read(reader, 11) == b"## versions"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_in_place_of_a_log_does_not_hang(context: Context, tmp_path: Path) -> None:
    log = tmp_path / "state" / "debug.log"
    log.unlink()
    os.mkfifo(log)
    support_bundle.write(tmp_path / "report.txt", context, FINDINGS)
    assert "## debug.log\n(not a regular file)" in (tmp_path / "report.txt").read_text()


def test_keys_tokens_and_account_numbers_are_removed(tmp_path: Path) -> None:
    cleaned = support_bundle.clean(
        f"AKIAIOSFODNN7EXAMPLE 123456789012 {Path.home()}/x token=abcdefgh SessionToken: "
        + "q" * 40
    )
    for secret in ("AKIAIOSFODNN7EXAMPLE", "123456789012", "abcdefgh", "q" * 40):
        assert secret not in cleaned
    path = tmp_path / "report.txt"
    support_bundle.write(path, Context(Settings(), None, FakeAws()), [])
    assert path.stat().st_mode & 0o777 == 0o600
