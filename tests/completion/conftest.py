"""A program, a home and known names for the tests of completion."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy.completion import parsers, query, table
from sm_proxy.completion.table import Level, Record
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName

AWS_CONFIG = """\
[default]
[profile prod]
[profile "a b"]
[profile "x$(touch${IFS}ran)"]
[profile "y`touch ran`"]
[profile "it's"]
[profile "--help"]
[sso-session mine]
"""
PROGRAM = """\
#!/bin/sh
# Completes as the real program does, and otherwise shows the words that the shell has made.
[ "$1" != completion ] || exec {python} -I -m sm_proxy "$@"
printf '[%s]' "$@"
echo
"""


@pytest.fixture(scope="session")
def record() -> Record:
    return parsers.make(cli.full_parser())


@pytest.fixture
def top(record: Record) -> Level:
    return table.read(record)


@pytest.fixture
def cached(record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    """The table is in the cache: a shell's question is fast."""
    query.run(["zsh", "sm-proxy", ""], lambda: record)
    capsys.readouterr()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with AWS profiles, and without settings of a shell."""
    folder = tmp_path / "home"
    (folder / ".aws").mkdir(parents=True)
    (folder / ".aws" / "config").write_text(AWS_CONFIG)
    (folder / ".aws" / "credentials").write_text("[prod]\n[old]\n")
    monkeypatch.setenv("HOME", str(folder))
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("FPATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR", "ZSH", "ZSH_CUSTOM"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def names() -> None:
    """What a list has shown."""
    host_names.keep(
        [
            HostName("sm-old", "training", 100.0),
            HostName("sm-new", "training", 200.0),
            HostName("sm-over", "training", 150.0, ended=True),
            HostName("sm-lab.space", "space", 120.0),
        ]
    )


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A PATH with our program, with `ssh` that shows its words, and with the shells."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sm-proxy").write_text(PROGRAM.format(python=sys.executable))
    (folder / "sm-proxy").chmod(0o755)
    (folder / "ssh").symlink_to("sm-proxy")
    return f"{folder}:{os.environ['PATH']}"


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(shell), reason=f"there is no {shell}")
