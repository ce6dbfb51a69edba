"""A connection by one route imports nothing of the others: every ssh pays for what it imports."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

CONNECT = """
import json, sys
from types import SimpleNamespace
from sm_proxy.routes import table
from sm_proxy.settings import Settings
from sm_proxy.ssm import session
from tests.fakes import container
from tests.routes.helpers import account
session.start = lambda *_: SimpleNamespace(through="here")
stream = table.connect(container(**json.loads(sys.argv[1])), Settings(), account())
print(json.dumps([stream.through, sorted(sys.modules)]))
"""
OF_OTHERS = {
    "sm_proxy.aws.instance_metadata",
    "sm_proxy.aws.studio",
    "sm_proxy.routes.bastion_host_key",
    "sm_proxy.routes.bastion_ssh",
    "sm_proxy.tunnel.blocking_socket",
    "sm_proxy.tunnel.channel_stream",
    "sm_proxy.tunnel.host_key_probe",
    "sm_proxy.tunnel.socket_stream",
}


@pytest.mark.parametrize(
    ("changes", "unused"),
    [
        ({}, {*OF_OTHERS, "sm_proxy.routes.remote_debug"}),
        ({"address": None, "vpc_id": None, "remote_debug": True}, OF_OTHERS),
    ],
)
def test_a_route_imports_nothing_of_the_later_ones(
    changes: dict[str, object], unused: set[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, json.dumps(changes)],
        capture_output=True, text=True, check=False, timeout=60, cwd=Path(__file__).parents[2],
        env={"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    through, modules = json.loads(done.stdout)
    assert through == "here"
    assert not unused & set(modules)
    assert not [name for name in modules if name.partition(".")[0] in {"paramiko", "cryptography"}]


def test_the_excluded_modules_exist() -> None:
    """Else a renamed module would count as not imported."""
    for name in OF_OTHERS:
        assert importlib.util.find_spec(name) is not None, name
