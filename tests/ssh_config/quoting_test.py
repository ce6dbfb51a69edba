from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import blocks, quoting
from sm_proxy.ssh_config.quoting import Platform

SSH = shutil.which("ssh")


@pytest.mark.parametrize(
    ("platform", "word", "written"),
    [
        ("posix", "/opt/x", "/opt/x"),
        ("posix", "/a b/x", "'/a b/x'"),
        ("posix", "/100%/x", "/100%%/x"),
        ("posix", "/O'Brien/x", "'/O'\"'\"'Brien/x'"),
        ("posix", "/bjørn/x", "'/bjørn/x'"),
        ("posix", r"/back\slash", r"'/back\slash'"),
        ("posix", "/the end\\", "'/the end'\"\\\\\"''"),
        ("windows", r"C:\Tools\x.exe", "C:/Tools/x.exe"),
        ("windows", r"C:\Program Files\x.exe", '"C:/Program Files/x.exe"'),
        ("windows", r"C:\100%\x.exe", "C:/100%%/x.exe"),
        ("windows", r"C:\O'Brien\x.exe", "C:/O'Brien/x.exe"),
        ("windows", r"C:\Users\Bjørn 日本\x.exe", '"C:/Users/Bjørn 日本/x.exe"'),
        ("msys2", r"C:\Tools\x.exe", "C:/Tools/x.exe"),
        ("msys2", r"C:\Program Files\x.exe", "'C:/Program Files/x.exe'"),
        ("msys2", r"C:\100%\x.exe", "C:/100%%/x.exe"),
        ("msys2", r"C:\O'Brien\x.exe", "'C:/O'\"'\"'Brien/x.exe'"),
        ("msys2", r"C:\Users\Bjørn\$x.exe", "'C:/Users/Bjørn/$x.exe'"),
    ],
)
def test_words_of_the_command_are_quoted(platform: Platform, word: str, written: str) -> None:
    assert quoting.quote_word(word, platform) == written
    command = blocks.proxy_command(Settings(), [word], platform)
    assert command == f"{written} connect --user %r %n %p"


@pytest.mark.parametrize(
    ("platform", "path", "value", "include"),
    [
        ("posix", "~/.ssh/k", "~/.ssh/k", "Include ~/.ssh/k"),
        ("posix", "/a b/k", '"/a b/k"', 'Include "/a b/k"'),
        ("posix", "/100%/k", "/100%%/k", 'Include "/100?/k"'),
        ("posix", "/a[1]*?/k", "/a[1]*?/k", 'Include "/a[[]1][*][?]/k"'),
        ("posix", "~/a[1]/k", "~/a[1]/k", "Include ~/a[[]1]/k"),
        ("windows", r"C:\a\k", "C:/a/k", 'Include "C:/a/k"'),
        ("windows", r"C:\O'Brien\k", '"C:/O\'Brien/k"', 'Include "C:/O\'Brien/k"'),
        ("windows", r"C:\Bjørn x\k", '"C:/Bjørn x/k"', 'Include "C:/Bjørn x/k"'),
        ("msys2", r"C:\a\k", "/c/a/k", 'Include "/c/a/k"'),
        ("msys2", r"D:\Bjørn x\100%", '"/d/Bjørn x/100%%"', 'Include "/d/Bjørn x/100?"'),
        ("msys2", "~/.ssh/k", "~/.ssh/k", "Include ~/.ssh/k"),
    ],
)
def test_paths_have_the_form_of_each_platform(
    platform: Platform, path: str, value: str, include: str
) -> None:
    assert quoting.path_value(path, platform) == value
    assert quoting.include(path, platform) == include


@pytest.mark.parametrize("path", ['/a"b', "/${HOME}/k", "/a\nProxyCommand x"])
@pytest.mark.parametrize("platform", ["posix", "windows", "msys2"])
def test_a_path_that_cannot_be_written_is_refused(path: str, platform: Platform) -> None:
    with pytest.raises(SmProxyError) as caught:
        quoting.path_value(path, platform)
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize("word", ["/a\nUser x", "/no utf-8 \udcff", "\x1b[2J"])
@pytest.mark.parametrize("platform", ["posix", "windows", "msys2"])
def test_a_word_that_cannot_be_written_is_refused(word: str, platform: Platform) -> None:
    with pytest.raises(SmProxyError) as caught:
        quoting.quote_word(word, platform)
    assert caught.value.code == "unsupported"


def test_an_include_with_a_backslash_is_refused() -> None:
    with pytest.raises(SmProxyError, match="cannot hold"):
        quoting.include("/a\\b/config", "posix")


WORDS = [
    "it's",
    "back\\",
    "\\'\\\"\\\\",
    "# $HOME `id` ${HOME} %h",
    "' \\",
    "a\\\\b",
]


@pytest.mark.skipif(SSH is None, reason="needs the OpenSSH client")
@pytest.mark.parametrize("words", [WORDS, *([word] for word in WORDS)])
def test_the_real_ssh_and_a_shell_read_the_same_words(words: list[str], tmp_path: Path) -> None:
    program = tmp_path / "record"
    program.write_text('#!/bin/sh\nprintf "%s\\0" "$@" >"$0.words"\n')
    program.chmod(0o700)
    config = tmp_path / "config"
    command = " ".join(map(quoting.quote_word, [str(program), *words]))
    config.write_text(f"Host x\n    ProxyCommand {command}\n")
    config.chmod(0o600)
    assert SSH is not None
    done = subprocess.run([SSH, "-F", str(config), "x"], capture_output=True, check=False)
    assert b"quotes" not in done.stderr
    received = program.with_name("record.words").read_bytes().decode().split("\0")
    assert received[:-1] == words


@pytest.mark.parametrize("platform", ["posix", "windows", "msys2"])
def test_the_words_of_a_command_are_read_as_they_were(platform: Platform) -> None:
    words = ["/a b/x", "it's", "# $HOME `id` %h", "100%", "x"]
    words += WORDS if platform == "posix" else []  # elsewhere a backslash becomes a slash
    command = " ".join(quoting.quote_word(word, platform) for word in words)
    assert quoting.command_words(f"{command} %n", platform) == [*words, "%n"]


def test_a_command_whose_quotes_are_open_has_no_words() -> None:
    assert quoting.command_words("sm-proxy 'connect %n", "posix") == []
    assert quoting.command_words('sm-proxy "connect %n', "windows") == []


@pytest.mark.parametrize(
    ("word", "written"),
    [
        (r"C:\Tools\sm-proxy.exe", "C:/Tools/sm-proxy.exe"),
        (r"C:\Program Files\x.exe", '"C:/Program Files/x.exe"'),
        (r"C:\100%\x.exe", "C:/100%%/x.exe"),
        (r"C:\Users\Bjørn\x.exe", "C:/Users/Bjørn/x.exe"),
    ],
)
def test_windows_gets_double_quotes_only_where_needed(
    word: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "name", "nt")
    assert quoting.quote_word(word) == written
