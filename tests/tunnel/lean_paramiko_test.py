"""paramiko comes without what it uses only for `Match exec`, and that still works."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("invoke") is None, reason="an early paramiko does without invoke"
)

_LEAN = """
import sys
from sm_proxy.tunnel.lean_paramiko import import_paramiko
paramiko = import_paramiko()
assert import_paramiko() is paramiko
print([name for name in sys.modules if name.partition(".")[0] == "invoke"])
matching = 'Match exec "true"' + chr(10) + "  User ann"
print(paramiko.SSHConfig.from_text(matching).lookup("host")["user"])
import invoke
print(invoke.run("echo out", hide=True).stdout.strip())
"""
_ELSEWHERE = """
import invoke
from sm_proxy.tunnel.lean_paramiko import import_paramiko
print(import_paramiko().config.invoke is invoke)
"""


@pytest.mark.parametrize(
    ("program", "said"), [(_LEAN, "[]\nann\nout\n"), (_ELSEWHERE, "True\n")], ids=["lean", "whole"]
)
def test_invoke_is_imported_when_it_is_used(program: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, said), done.stderr
