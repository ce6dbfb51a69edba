"""Run `sm-proxy config` on a user's config, for tests of what it writes."""

from __future__ import annotations

from pathlib import Path

from sm_proxy import cli

EU = ("--prefix", "sm-eu-")


def run(dot_ssh: Path, *words: str, status: int = 0) -> None:
    """Run an action, which must end with the given exit status."""
    action, *rest = words
    assert cli.main(["config", action, "--ssh-config", str(dot_ssh / "config"), *rest]) == status


def own(dot_ssh: Path) -> str:
    """Our own file, which the command has written."""
    return (dot_ssh / "sm-proxy" / "config").read_text()
