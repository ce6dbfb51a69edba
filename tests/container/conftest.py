"""A container without a lab: in namespaces if they are permitted, else in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sm_proxy_lab.job_kinds.training import TrainingRequest
from sm_proxy_lab.machines import image, namespaces, network, sshd_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

ISOLATED = os.geteuid() == 0 and namespaces.may_isolate(
    namespaces.CLONE_NEWNS | namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNET
)
BUSYBOX = os.environ.get("SM_PROXY_TEST_BUSYBOX") or shutil.which("busybox-static")
BUSYBOX = BUSYBOX or shutil.which("busybox")
SHELLS = ["sh", "busybox"]
OTHER_SHELL = "busybox" if BUSYBOX and ISOLATED else "sh"
"""The slower shell, which is also more likely to behave differently; `sh` without busybox."""

needs_container = pytest.mark.skipif(not ISOLATED, reason="needs a container of its own")


def shell_argv(shell: str) -> list[str]:
    """The command of one of SHELLS. Skip the test if this machine has no busybox."""
    if shell == "sh":
        return ["sh"]
    if not BUSYBOX:
        pytest.skip("needs busybox")
    return [BUSYBOX, "sh"]


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKS+jA/vc2OBXwOon2mo2vJxYnJ0CkvNHuu0SaqNuTlZ"


@dataclass
class Box:
    """One container; `start` runs the entrypoint in it."""

    root: Path
    shell: str
    cable: network.Cable
    sshd: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    prelude: str = ""
    """Shell commands to run before the entrypoint, like other steps of a Dockerfile."""

    def inside(self, path: str) -> str:
        """A path of the image, as programs in the container see it."""
        return f"/{path}" if ISOLATED else str(self.root / path)

    @property
    def run_dir(self) -> Path:
        """The entrypoint's folder for run-time files."""
        return self.root / "opt" / "ml" / "run"

    @property
    def user(self) -> str:
        return "root" if ISOLATED else __import__("getpass").getuser()

    @property
    def server(self) -> str:
        """The sshd, as programs in the container see it."""
        home = sshd_binary.cache_folder().absolute()
        if ISOLATED and home in Path(self.sshd).parents:
            return f"/opt/lab-tools/{Path(self.sshd).relative_to(home)}"
        return self.sshd

    def add_program(self, name: str, script: str) -> str:
        """Put a script for /bin/sh into the image; return its path in the container."""
        file = self.root / "opt/program" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)
        return self.inside(f"opt/program/{name}")

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace a text, such as a pause, that occurs once in one of our scripts."""
        path = self.root / "opt/sm-proxy" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has no single {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def hurry(self) -> None:
        """Shorten the pauses in the scripts, so that tests wait less."""
        self.replace("hold.sh", "smp_pause=1 ", "smp_pause=0.1 ")
        self.replace("hold.sh", "smp_farewell=2 ", "smp_farewell=0 ")
        self.replace("serve.sh", "watch_pause=1 ", "watch_pause=0.2 ")

    def environment(self) -> dict[str, str]:
        ready = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root" if ISOLATED else str(self.root),
            "SM_PROXY_RUN_DIR": self.inside("opt/ml/run"),
            "SM_PROXY_SSHD": self.server,
        }
        if not ISOLATED:
            ready |= {
                "SM_PROXY_LISTEN": self.cable.address,
                "SM_PROXY_PORT": str(self.cable.port),
                "SM_PROXY_ML_DIR": self.inside("opt/ml"),
            }
        return ready

    def start(self, *program: str, **environment: str) -> subprocess.Popen[str]:
        """Run the image's entrypoint with the job's program."""
        entrypoint = self.inside("opt/sm-proxy/entrypoint.sh")
        argv = [entrypoint, *program]
        if self.prelude:
            argv = ["/bin/sh", "-c", f'{self.prelude}\nexec "$@"', "sh", *argv]
        if self.shell == "busybox":
            # In this container, busybox is /bin/sh and the small tools.
            script = (
                "mount --bind /opt/busybox/busybox /bin/sh && export PATH=/opt/busybox:/usr/bin"
                ' && exec "$@"'
            )
            argv = ["/bin/sh", "-c", script, "sh", *argv]
        binds = {"busybox": str(self.root / "busybox")} if self.shell == "busybox" else {}
        if self.server != self.sshd:
            binds["lab-tools"] = str(sshd_binary.cache_folder().absolute())
        ready = self.environment() | environment
        spec: dict[str, Any] = {
            "isolated": ISOLATED,
            "netns": self.cable.netns,
            "hostname": "algo-1",
            "root": str(self.root),
            "binds": binds,
            "argv": argv,
            "environment": ready,
        }
        file = self.root / "spec.json"
        file.write_text(json.dumps(spec), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "sm_proxy_lab.machines.container_init", str(file)],
            pass_fds=[] if self.cable.netns is None else [self.cable.netns],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *program: str, **environment: str) -> tuple[int, list[str]]:
        """Run until the program ends; return its exit code and the lines of its log."""
        output, _ = self.start(*program, **environment).communicate(timeout=120)
        return self.started[-1].returncode, output.splitlines()

    def run_directly(self, argv: list[str], **environment: str) -> tuple[int, list[str]]:
        """Run a command instead of the entrypoint, which gets the name real.sh."""
        output, _ = self.start_directly(argv, **environment).communicate(timeout=120)
        return self.started[-1].returncode, output.splitlines()

    def start_directly(self, argv: list[str], **environment: str) -> subprocess.Popen[str]:
        """As `run_directly`, without a wait for the end."""
        home = self.root / "opt" / "sm-proxy"
        (home / "entrypoint.sh").rename(home / "real.sh")
        wrapper = home / "entrypoint.sh"
        wrapper.write_text('#!/bin/sh\nexec "$@"\n')
        wrapper.chmod(0o755)
        argv = [word.replace("sm-proxy/entrypoint.sh", "sm-proxy/real.sh") for word in argv]
        return self.start(*argv, **environment)

    def connect(self, port: int) -> socket.socket:
        """Connect to the container from its own network."""
        scope = (
            contextlib.nullcontext()
            if self.cable.netns is None
            else namespaces.entered(self.cable.netns)
        )
        with scope:
            return socket.create_connection((self.cable.address, port), timeout=30)


def marker_of(lines: list[str]) -> dict[str, Any]:
    """The only marker in the lines; fail if there are none or several."""
    found = [line for line in lines if "sm_proxy_marker" in line]
    assert len(found) == 1, lines
    return dict(json.loads(found[0]))


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Wait until a file exists."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.01)


def until_ready(box: Box) -> str:
    return f"while [ ! -e {box.inside('opt/ml/run/ready')} ]; do sleep 0.02; done"


def shell_function(name: str) -> str:
    """The source of one of our shell functions."""
    for file in sorted(name for name in image.shipped_files() if name.endswith(".sh")):
        lines = image.shipped_files()[file].decode().splitlines()
        if f"{name}() {{" in lines:
            start = lines.index(f"{name}() {{")
            return "\n".join(lines[start : lines.index("}", start) + 1])
    raise LookupError(name)


@pytest.fixture(scope="session")
def sshd() -> str:
    return sshd_binary.find_sshd()


@pytest.fixture(params=SHELLS)
def box(request: pytest.FixtureRequest, tmp_path: Path, sshd: str) -> Iterator[Box]:
    if request.param == "busybox" and not (BUSYBOX and ISOLATED):
        pytest.skip("needs busybox and root")
    with container(request.param, tmp_path / "image", sshd) as made:
        yield made


@contextlib.contextmanager
def container(shell: str, root: Path, sshd: str) -> Iterator[Box]:
    """A container that has not been started yet."""
    image.write_image(root)
    claim = None
    if ISOLATED:
        fabric = network.Fabric()
        cable = fabric.plug("10.0.144.0/20")
    else:
        claim = network.LoopbackNetwork()
        cable = claim.plug_node(None)
    job = TrainingRequest("job", "us-east-1", {"ResourceConfig": {"InstanceCount": 2}})
    machines = job.instances()
    image.write_ml(root, job.FOLDERS, job.documents(machines[1], machines, cable.device))
    image.write_etc(root, host="algo-2", addresses={"algo-2": cable.address})
    if shell == "busybox":
        write_busybox(root / "busybox")
    made = Box(root, shell, cable, sshd)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()
    if claim:
        claim._claim.close()


def write_busybox(folder: Path) -> None:
    assert BUSYBOX
    folder.mkdir()
    shutil.copy(BUSYBOX, folder / "busybox")
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout
    for name in names.split():
        if name != "busybox":
            (folder / name).symlink_to("busybox")
