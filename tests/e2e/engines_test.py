"""Programs that run a command on many hosts, on a job of several nodes, as docs/nodes.md shows.

The daemon serves the 40 connections: that halves their CPU time.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import SM_PROXY, Job, Lab
from tests.soak import SOAK, cases

_NODES = 8 if SOAK else 3
_DOCS = (Path(__file__).parents[2] / "docs" / "nodes.md").read_text(encoding="utf-8")
_SECTION = _DOCS.partition("\n## One command on all nodes")[2].partition("\n## ")[0]
_COMMANDS = re.findall(r"^    ([a-z].* SM_CURRENT_HOST.*)$", _SECTION, re.MULTILINE)
_QUICK = [line for line in _COMMANDS if " -m command " not in line]
"""Ansible's modules, which it copies to each node, cost half of the CPU time of all engines."""
_SCRIPT = re.findall(r"^    (#!/bin/sh\n)    (.*\n)", _SECTION, re.MULTILINE)
_HERE = {
    *(("clush", "ansible") if sys.version_info >= (3, 11) else ()),
    *(("pdsh", "parallel-ssh") if os.geteuid() == 0 and shutil.which("apt-get") else ()),
}
"""What script/setup.sh installs here, so that its test must not be skipped."""
_ANSIBLE = {
    "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=1s",  # by default 60 s
    "ANSIBLE_NOCOLOR": "1",
}

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def tools(host_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `sm-proxy`, an `ssh` that reads the lab's config, and the inventory script."""
    folder = tmp_path_factory.mktemp("tools")
    ssh = shutil.which("ssh") or "ssh"
    scripts = {
        "ssh": f'#!/bin/sh\nexec {ssh} -F {shlex.quote(host_lab.config)} "$@"\n',
        "sm-proxy": f'#!/bin/sh\nexec {shlex.join(SM_PROXY)} "$@"\n',
        "sm-proxy-inventory": "".join(_SCRIPT[0]),
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def wide(host_lab: Lab) -> Iterator[Job]:
    """A job of several nodes."""
    job = host_lab.launch("wide", nodes=_NODES, keep=True)
    yield job
    job.stop()


@pytest.fixture(scope="module")
def served(host_lab: Lab) -> Iterator[Lab]:
    """The lab with a daemon."""
    with host_lab.with_daemon() as served:
        yield served


@pytest.fixture
def home() -> Iterator[str]:
    """A home for Ansible, whose sockets need a short path."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def test_the_document_has_a_command_for_each_engine() -> None:
    assert [line.split()[0] for line in _COMMANDS] == [
        *("pdsh", "clush", "parallel-ssh", "ansible", "ansible")
    ]


@pytest.mark.usefixtures("lab")  # which looks for what is left behind
@pytest.mark.parametrize(
    "command",
    cases(_COMMANDS, _QUICK),
    ids=lambda line: " ".join(re.findall(r"^[\w-]+|-m \w+", line)),
)
def test_each_engine_gets_an_answer_from_each_node(
    served: Lab, wide: Job, tools: Path, home: str, command: str
) -> None:
    engine = command.split(maxsplit=1)[0]
    path = f"{tools}:{Path(sys.executable).parent}:{served.environment['PATH']}"
    if shutil.which(engine, path=path) is None:
        assert engine not in _HERE, f"{engine} is not installed: run script/test"
        pytest.skip(f"{engine} is not installed")
    command = command.replace("sm-myjob", wide.host).replace("sm_myjob", f"sm_{wide.name}")
    done = served.run(
        *("bash", "-c", command),
        cwd=tools,
        env={**_ANSIBLE, "PATH": path, "HOME": home},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    nodes = [f"algo-{number}" for number in range(1, _NODES + 1)]
    answers = re.findall(r"^(?:\S+: )?(algo-\d)$", done.stdout.decode(), re.MULTILINE)
    assert sorted(answers) == nodes, done.stdout.decode() + done.stderr.decode()
    for node in nodes:
        assert f"{wide.host}.{node}" in done.stdout.decode()
