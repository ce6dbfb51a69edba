"""`sm-proxy config` over the config of a user, as tests of what it writes need it."""

from __future__ import annotations

from pathlib import Path

from sm_proxy import cli

EU = ("--prefix", "sm-eu-")


def run(dot_ssh: Path, *words: str, status: int = 0) -> None:
    """Run an action of it, which ends with that status."""
    action, *rest = words
    assert cli.main(["config", action, "--ssh-config", str(dot_ssh / "config"), *rest]) == status


def own(dot_ssh: Path) -> str:
    """Our own file, which it has written."""
    return (dot_ssh / "sm-proxy" / "config").read_text()
