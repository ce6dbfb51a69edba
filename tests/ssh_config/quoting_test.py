from __future__ import annotations

import pytest

from sm_proxy import config_writer
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import quoting
from sm_proxy.ssh_config.quoting import Platform


@pytest.mark.parametrize(
    ("platform", "word", "written"),
    [
        ("posix", "/opt/x", "/opt/x"),
        ("posix", "/a b/x", "'/a b/x'"),
        ("posix", "/100%/x", "/100%%/x"),
        ("posix", "/O'Brien/x", "'/O'\"'\"'Brien/x'"),
        ("posix", "/bjørn/x", "'/bjørn/x'"),
        ("posix", r"/back\slash", r"'/back\slash'"),
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
def test_words_of_the_command(platform: Platform, word: str, written: str) -> None:
    assert quoting.word(word, platform) == written
    command = config_writer.proxy_command(Settings(), [word], platform)
    assert command == f"{written} connect --user %r %n %p"


@pytest.mark.parametrize(
    ("platform", "path", "value", "include"),
    [
        ("posix", "~/.ssh/k", "~/.ssh/k", "Include ~/.ssh/k"),
        ("posix", "/a b/k", '"/a b/k"', 'Include "/a b/k"'),
        ("posix", "/100%/k", "/100%%/k", 'Include "/100%/k"'),
        ("windows", r"C:\a\k", "C:/a/k", 'Include "C:/a/k"'),
        ("windows", r"C:\O'Brien\k", '"C:/O\'Brien/k"', 'Include "C:/O\'Brien/k"'),
        ("windows", r"C:\Bjørn x\k", '"C:/Bjørn x/k"', 'Include "C:/Bjørn x/k"'),
        ("msys2", r"C:\a\k", "/c/a/k", 'Include "/c/a/k"'),
        ("msys2", r"D:\Bjørn x\100%", '"/d/Bjørn x/100%%"', 'Include "/d/Bjørn x/100%"'),
        ("msys2", "~/.ssh/k", "~/.ssh/k", "Include ~/.ssh/k"),
    ],
)
def test_paths(platform: Platform, path: str, value: str, include: str) -> None:
    assert quoting.path_value(path, platform) == value
    assert quoting.include(path, platform) == include


@pytest.mark.parametrize("path", ['/a"b', "/${HOME}/k", "/a\nProxyCommand x"])
@pytest.mark.parametrize("platform", ["posix", "windows", "msys2"])
def test_a_path_that_cannot_be_written(path: str, platform: Platform) -> None:
    with pytest.raises(SmProxyError) as caught:
        quoting.path_value(path, platform)
    assert caught.value.code == "unsupported"
