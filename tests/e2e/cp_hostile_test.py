"""`cp` from a container whose SFTP server lies: see `hostile_sftp.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import hostile_sftp
from tests.e2e.copies import leaves_nothing, names, run
from tests.e2e.labs import Job, Lab
from tests.soak import cases

pytestmark = pytest.mark.e2e

_CONFIG = "/run/sm-proxy/sshd_config"
_QUICK = ("names", "short", "garbage")
LIES = cases((*_QUICK, "long"), _QUICK)
"""`long` is tried over two dozen connections."""
_OURS = {".good.sm-proxy-part", ".good.sm-proxy-map", ".sm-proxy-unfinished"}
"""What the next run would go on with."""


@pytest.fixture(scope="module")
def liar(host_lab: Lab) -> Iterator[Job]:
    """A job whose sshd starts the hostile server from now on."""
    job = host_lab.launch("liar", keep=True)
    program = Path(hostile_sftp.__file__).read_bytes()
    folders = " ".join(f"/{lie}" for lie in LIES)
    script = (
        f"mkdir {folders} && for folder in {folders}; do"
        f" head -c {hostile_sftp.SIZE} /dev/zero | tr '\\0' x >$folder/good; done;"
        " cat >/tmp/hostile.py && sed -i"
        f" 's#^Subsystem.*#Subsystem sftp /usr/bin/python3 /tmp/hostile.py#' {_CONFIG}"
        " && kill -HUP $(cat /run/sm-proxy/sshd.pid)"
    )
    host_lab.ok(job.host, script, stdin=program)
    yield job
    job.stop()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_ends_the_copy_and_reaches_nothing_else(
    lab: Lab, liar: Job, lie: str, tmp_path: Path
) -> None:
    inside = tmp_path / "deep" / "target"
    inside.mkdir(parents=True)
    done = run(lab, "-r", f"{liar.host}:/{lie}", str(inside), timeout=60)
    shown = json.loads(done.stdout)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr.decode() + done.stdout.decode()
    assert shown["error"]["code"] in {
        "copy-failed",
        "source-changed",
        "session-lost",
        "not-verified",
    }
    assert names(tmp_path) == ["deep"]
    assert names(tmp_path / "deep") == ["target"]
    arrived = {"good"} if lie == "names" else set()
    assert {path.name for path in (inside / lie).rglob("*")} - _OURS == arrived
    leaves_nothing(lab)
