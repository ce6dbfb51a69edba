from __future__ import annotations

import os
from pathlib import Path

import pytest

from sm_proxy.ssh_config.option_origin import Setter, find_setters


def found(path: Path, host: str = "sm-job") -> list[Setter]:
    return list(find_setters(path, host, ("proxycommand",)))


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        ("Host *", True),
        ("Host sm-*", True),
        ("host = sm-*", True),
        ("Host SM-j?b", True),
        ("Host other sm-job", True),
        ("Host sm-* !sm-job", False),
        ("Host other", False),
        ("Host sm_*", False),
        ("Match all", True),
        ("Match host sm-*,other", True),
        ("Match originalhost other", False),
        ("Match final all", False),
        ("Match exec true", True),
    ],
)
def test_a_block_counts_for_the_hosts_that_it_names(
    tmp_path: Path, header: str, holds: bool
) -> None:
    path = tmp_path / "config"
    path.write_text(f"User x\n{header}\n  ProxyCommand nc %h %p\n")
    assert [item.line for item in found(path)] == ([3] if holds else [])


def test_the_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("\n# mine\nHost *\n\tProxyCommand=nc %h %p\n")
    only = found(path)[0]
    assert str(only) == f"{path}:4 under `Host *`"
    assert only.value == "nc %h %p"


def test_the_toolkits_block_is_recognised_by_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "# Created by AWS Toolkit for VSCode. https://github.com/aws/aws-toolkit-vscode\n"
        "Host sm*\n    ProxyCommand '/x/sagemaker_connect' '%n'\n"
        "Host sm-job\n    ProxyCommand mine\n"
    )
    assert [item.toolkit for item in found(path)] == [True, False]
    assert "AWS Toolkit" in str(found(path)[0])


def test_includes_are_read_in_place(tmp_path: Path) -> None:
    path, first, second = (tmp_path / name for name in ("config", "a.conf", "b.conf"))
    first.write_text("Host sm-*\n  ProxyCommand one\n")
    second.write_text("ProxyCommand two\n")
    path.write_text(
        f'Include "{tmp_path}/a.*"\nHost other\n  Include {second}\n'
        f"Host sm-job\n  Include {second}\n  ProxyCommand three\n"
    )
    assert [item.value for item in found(path)] == ["one", "two", "three"]


def test_a_file_that_includes_itself_is_read_to_an_end(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(f"Include {path}\nProxyCommand one\n")
    assert found(path)


def test_a_missing_file_sets_nothing(tmp_path: Path) -> None:
    assert found(tmp_path / "none") == []


def test_a_file_that_is_not_regular_is_ignored(tmp_path: Path) -> None:
    """Reading a pipe would hang, and reading some devices never ends."""
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "config"
    path.write_text(f"Include {tmp_path / 'pipe'}\nProxyCommand nc %h %p\n")
    assert [item.line for item in found(path)] == [2]
