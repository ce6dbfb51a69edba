from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy import settings
from sm_proxy.local import paths
from tests.settings.helpers import refused, write_file

USE_OF_TOY = r"""
import importlib.machinery
import re
import sys
from pathlib import Path

loader = importlib.machinery.SourceFileLoader
get_data = loader.get_data
LINE = '    colour: str | None = _setting(None, "any", flag="NAME", recorded=True)\n'


def with_line(self, path):
    if re.search("schema.*pyc$", str(path)):
        raise OSError
    data = get_data(self, path)
    if not path.endswith("schema.py"):
        return data
    mark = b"    prefix: str = "
    assert data.count(mark) == 1
    return data.replace(mark, LINE.encode() + mark)


sys.dont_write_bytecode = True
loader.get_data = with_line
from sm_proxy import cli, settings
from sm_proxy.settings import contexts
from sm_proxy.ssh_config import blocks

given = cli._parser("resolve").parse_args(["--colour", "red", "resolve", "sm-x"])
chosen = settings.load(settings.flags_of(given))
assert chosen.colour == "red"
assert "--colour red" in blocks.proxy_command(chosen, ["sm-proxy"])
record = contexts.record_line("sm-", vars(chosen))
assert contexts.parse(record.encode(), Path("x"))["sm-"]["colour"] == "red"
print("option, ProxyCommand and record know the new setting")
"""


def test_a_setting_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", USE_OF_TOY], capture_output=True, text=True, check=False
    )
    assert done.stdout == "option, ProxyCommand and record know the new setting\n", done.stderr


@pytest.mark.parametrize("word", ["0", "false", "No", "OFF"])
def test_false_words_are_false(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file("allow_loopback = true")
    monkeypatch.setenv("SM_PROXY_ALLOW_LOOPBACK", word)
    assert settings.load().allow_loopback is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wait", "-1"),
        ("wait", "ten"),
        ("wait", "1.5"),
        ("wait", "9" * 400),
        ("wait", "9" * 5000),
        ("wait", "2419201"),
        ("allow_loopback", "maybe"),
        ("prefix", "sm-* other"),
        ("prefix", "-x"),
        ("prefix", "sm-\nHost *"),
        ("prefix", "sm/"),
        ("user", "root\n    ProxyCommand id"),
        ("user", "-l"),
        ("user", "%h"),
        ("bastion_user", "ec2-user -x"),
        ("bastion_user", "u" * 33),
        ("bastion", "i-1 --x"),
        ("bastion", "../i-1"),
        ("route", "tunnel"),
        ("route", "bastion,direct"),
        ("route", "Bastion"),
        ("launch_s3", "bucket/folder"),
        ("launch_s3", "s3://bucket/a b"),
        ("launch_s3", "https://bucket/folder"),
        ("copy_s3", "https://bucket/folder"),
        ("copy_s3", "Bucket"),
        ("profile", "a\nb"),
        ("region", "\x1b[31m"),
        ("identity_file", "/x\n/y"),
        ("ssh_dir", "/x\x00"),
    ],
)
def test_the_error_for_a_bad_value_tells_where_it_is_set(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = f"--{name.replace('_', '-')}"
    assert f"{name} in {flag} must be" in refused({name: value})
    if "\0" not in value:
        monkeypatch.setenv(f"SM_PROXY_{name.upper()}", value)
        assert f"{name} in SM_PROXY_{name.upper()} must be" in refused()


def test_the_ssh_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load({"ssh_dir": "x"}).ssh_folder == tmp_path / "x"
    assert settings.load({"ssh_dir": "~/x"}).ssh_folder == tmp_path / "x"
    assert settings.load().ssh_folder == paths.default_ssh_dir()
