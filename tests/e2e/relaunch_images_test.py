"""Jobs from images that make ssh hard are relaunched: without sshd, or not as root."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.local import private_files
from tests.e2e.labs import Lab
from tests.lab.conftest import needs_debian, needs_root
from tests.soak import only_in_soak
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root]

_REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_PYTHON = "/usr/bin/python3"
_SERVERS = "/usr/sbin/sshd /usr/sbin/dropbear"
_NEEDED = ("asyncssh", "cryptography", "_cffi_backend", "typing_extensions")
_FAIL = 'echo "it failed as $(id -u)"; exit 3 # ' + 300 * "x"
"""Longer than a word of a request may be: the channel has to bring it."""
_CREATE = """
like = describe(os.environ["SM_PROXY_LAB_JOB"])
s3 = client("s3")
s3.create_bucket(Bucket="images-output")
client("sagemaker").create_training_job(
    TrainingJobName={name!r},
    AlgorithmSpecification={{"TrainingImage": {uri!r}, "TrainingInputMode": "File"}},
    OutputDataConfig={{"S3OutputPath": "s3://images-output/"}},
    ResourceConfig=like["ResourceConfig"] | {{"InstanceCount": 1}},
    **{{name: like[name] for name in ("RoleArn", "StoppingCondition", "VpcConfig")}},
)
"""
_RUN = """
import json, sys
from sm_proxy.launch import wheels
lock = tuple(wheels.Wheel(*row) for row in json.loads(sys.argv.pop(1)))
wheels.locked = lambda: lock
from sm_proxy.__main__ import main
sys.exit(main())
"""
"""sm-proxy with another lock: the real wheels are not on this machine."""


def failed(lab: Lab, name: str, **config: Any) -> str:
    """A job that has failed, and whose image knows nothing of us; returns its name."""
    name = lab.unused(name)
    history = config.pop("history", ())
    uri = f"{_REGISTRY}/{name}:latest"
    lab.control("put_image", uri, {"Entrypoint": ["sh", "-c", _FAIL], **config}, history=history)
    lab.python(_CREATE.format(name=name, uri=uri))
    status = f"answer = describe({name!r})['TrainingJobStatus']"
    await_true(lambda: lab.python(status) == "Failed", 60)
    return name


def locked_wheel(lab: Lab, folder: Path) -> str:
    """Put this machine's asyncssh into the cache, as if pip had fetched it; return its lock."""
    names = ", ".join(_NEEDED)
    script = f"import {names}, platform; print(*(m.__file__ for m in ({names})), sep='\\n')"
    script += "; print(platform.python_version().rpartition('.')[0])"
    python = [_PYTHON, "-W", "ignore", "-c", script]
    *files, version = subprocess.run(
        python, capture_output=True, text=True, check=True
    ).stdout.split()
    wheel = folder / "all-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in map(Path, files):
            parts = sorted(file.parent.rglob("*")) if file.name == "__init__.py" else [file]
            top = file.parents[1] if file.name == "__init__.py" else file.parent
            for part in parts:
                if part.is_file() and part.suffix != ".pyc":
                    archive.write(part, part.relative_to(top).as_posix())
    cache = Path(lab.environment["SM_PROXY_CACHE_DIR"]) / "wheels"
    private_files.write_private(cache / wheel.name, wheel.read_bytes())
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    targets = [f"{os.uname().machine}-{libc}" for libc in ("glibc", "musl")]
    return json.dumps([[wheel.name, digest, [version], targets]])


def test_an_image_without_sshd_and_a_user_without_a_name(lab: Lab, tmp_path: Path) -> None:
    """The server is in Python, which needs no entry in /etc/passwd."""
    installed = subprocess.run([_PYTHON, "-c", "import asyncssh"], capture_output=True, check=False)
    if installed.returncode:
        pytest.skip("needs asyncssh")
    lock = locked_wheel(lab, tmp_path)
    packages = " ".join(f"/usr/lib/python3/dist-packages/{name}" for name in _NEEDED[:2])
    job = failed(
        lab,
        "bare",
        User="12345",
        Env=["PATH=/usr/bin:/bin", "PYTHON_VERSION=3.11.2"],
        Labels={"sm-proxy-lab.hide": f"{_SERVERS} {packages}"},
    )
    again = f"{job}-again"
    words = ("relaunch", job, "--name", again)
    # All that it needs is in the cache: pip, which would ask an index, does not run.
    offline = {"PIP_NO_INDEX": "1"}
    done = lab.run(sys.executable, "-c", _RUN, lock, *words, timeout=180, env=offline)
    assert done.returncode == 0, done.stderr.decode()
    assert b" with pip" not in done.stderr
    login = done.stdout.decode().splitlines()[-1].split()
    assert login == ["ssh", f"user@sm-{again}"]
    assert lab.ok(login[1], 'id -u; echo "$SM_PROXY_PORT"') == b"12345\n2222\n"
    log: list[str] = []

    def failed_again() -> bool:
        log[:] = lab.python(f"answer = log({again + '/'!r})")
        return "it failed as 12345" in log

    await_true(failed_again, 60, lambda: log)
    asked = lab.python(f"answer = describe({again!r})['AlgorithmSpecification']")
    folder = "/opt/ml/input/data/sm_proxy"
    assert asked["ContainerArguments"] == ["--argv-file", f"{folder}/argv"]
    marker = next(json.loads(line) for line in log if "sm_proxy_marker" in line)
    assert "python" in marker["features"]
    assert marker["problems"] == []
    assert lab.sm_proxy("done", f"sm-{again}").returncode == 0


@needs_debian
@only_in_soak
def test_an_image_that_does_not_run_as_root(lab: Lab, tmp_path: Path) -> None:
    files = tmp_path / "files"
    for name, content in {
        "etc/passwd": "root:x:0:0::/root:/bin/sh\nsshd:x:74:65534::/run/sshd:/bin/false\n"
        "worker:x:1000:1000::/home/worker:/bin/bash\n",
        "etc/group": "root:x:0:\nworker:x:1000:\n",
        "home/worker/.profile": "",
    }.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(content, encoding="utf-8")
    job = failed(
        lab,
        "worker",
        User="worker",
        history=["RUN apt-get install -y openssh-server"],
        Labels={"sm-proxy-lab.root": "debian", "sm-proxy-lab.files": str(files)},
    )
    done = lab.sm_proxy("relaunch", job, "--name", f"{job}-again", timeout=180)
    assert done.returncode == 0, done.stderr.decode()
    login = done.stdout.decode().splitlines()[-1].split()
    assert login == ["ssh", f"worker@sm-{job}-again"]
    assert lab.ok(login[1], "id -un; echo $SM_PROXY_PORT") == b"worker\n2222\n"
    assert lab.sm_proxy("done", f"sm-{job}-again").returncode == 0
