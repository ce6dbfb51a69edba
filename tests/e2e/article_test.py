"""docs/from-the-article.md: a container like the article's is entered, with the page's commands.

Its image has an sshd with its host keys, the public keys of the machines that may log in, and a
program that starts this sshd, prints what the machine is like, and sleeps. Nothing of ours.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import commands, pages
from tests.e2e.labs import SM_PROXY, Job, Lab, code_of, last_line
from tests.e2e.relaunch_test import created, relaunched
from tests.lab.conftest import needs_debian, needs_root
from tests.soak import cases
from tests.waits import await_true

pytestmark = [pytest.mark.e2e, needs_root, needs_debian]

_TRAIN = Path(__file__).with_name("article") / "train"
_PATH = "/opt/program:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PAGE = pages.ROOT / "docs" / "from-the-article.md"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a machine from which the article logs in: `.ssh/id_rsa`, and its settings."""
    home = tmp_path_factory.mktemp("machine")
    (home / ".ssh").mkdir(mode=0o700)
    make = ["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(home / ".ssh" / "id_rsa")]
    subprocess.run(make, check=True)
    return home


@pytest.fixture(scope="module")
def article(lab: Lab, machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job of the article's image, whose program has printed where it is."""
    files = tmp_path_factory.mktemp("image")
    program, keys, root = files / "opt" / "program", files / "etc" / "ssh", files / "root" / ".ssh"
    for folder in (program, keys, files / "run" / "sshd", root):
        folder.mkdir(parents=True)
    root.chmod(0o700)
    shutil.copy(_TRAIN, program / "train")
    shutil.copy(machine / ".ssh" / "id_rsa.pub", root / "authorized_keys")
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / "ssh_host_ed25519_key")]
    subprocess.run(make, check=True)
    image = {
        "Env": [f"PATH={_PATH}"],
        "WorkingDir": "/opt/program",
        "Labels": {"sm-proxy-lab.root": "debian", "sm-proxy-lab.files": str(files)},
    }
    job = created(lab, image=image)
    job.until("Training")
    await_true(lambda: "ss -tulpn" in job.log(), 60, job.log)
    yield job
    if job.status() == "Training":
        job.stop()


def as_it_is(host: str, key: Path) -> list[list[str]]:
    """The page's commands for the container as it is, without the installation."""
    shown = [item.text for item in commands.of_page(_PAGE)]
    first = shown.index("pipx install .") + 1
    lines = shown[first : shown.index("ssh sm-myjob") + 1]
    written = [line.replace("sm-myjob", host).replace("~/.ssh/id_rsa", str(key)) for line in lines]
    return [line.split() for line in written]


@pytest.mark.parametrize("place", cases(["", "inside", "notebook"], ["notebook"]))
def test_the_articles_container_works_unmodified(
    place: str, lab: Lab, article: Job, machine: Path, tmp_path: Path
) -> None:
    """From a laptop, from EC2 as Cloud9 is, and from a notebook instance."""
    there = lab.terminal(place) if place else lab
    config = str(tmp_path / "ssh" / "config")
    Path(config).parent.mkdir(mode=0o700)
    folders = {
        f"SM_PROXY_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "CACHE", "STATE")
    }
    own = {**folders, "SM_PROXY_SSH_DIR": "", "SM_PROXY_SSH_CONFIG": config}
    setup, trust, enter = as_it_is(article.host, machine / ".ssh" / "id_rsa")

    done = there.run(*SM_PROXY, *setup[1:], env=own)
    assert done.returncode == 0, done.stderr.decode()
    assert b"id_rsa is too long for the Environment of a job" in done.stdout
    ssh = (enter[0], "-F", config, enter[1])
    refused = there.run(*ssh, "true", env=own)
    assert code_of(refused) == "host-key-unknown"
    assert f"`{' '.join(trust)}`" in last_line(refused)
    done = there.run(*SM_PROXY, *trust[1:], env=own)
    assert done.returncode == 0, done.stderr.decode()

    before = len(lab.calls())
    done = there.run(*ssh, stdin=b"id -un; pwd\n", env=own)
    assert done.stdout.endswith(b"root\n/root\n"), done.stderr
    assert b"on first use" in done.stderr
    made = [call["operation"] for call in lab.calls()[before:]]
    assert ("StartSession" in made) == (place == ""), "within the VPC, ssh needs no bastion"

    if not place:  # in the soak: doctor takes its time
        # Instead of a search for the address in CloudWatch.
        shown = there.run(*SM_PROXY, "doctor", article.host, "-v", env=own).stdout.decode()
        (address,) = re.findall(r"inet (10\.[\d.]+)/", article.log())
        assert f" {address} " in shown, shown
        # With our own key, once `setup` uses that for jobs of `launch`.
        ours = ("ssh", "-F", lab.config, "-i", str(machine / ".ssh" / "id_rsa"), article.host)
        done = lab.run(*ours, "id -un", env={"SM_PROXY_TRUST_FIRST_USE": "1"})
        assert done.stdout == b"root\n", done.stderr


def test_relaunch_enters_the_articles_job_beside_its_own_sshd(lab: Lab, article: Job) -> None:
    """Its program is unchanged. It would run for five minutes, so the user gives it up."""
    article.stop()  # a program that is process 1 ignores SIGTERM, so this takes two minutes
    again: list[Job] = []
    new = relaunched(lab, again, article.name)
    try:
        own = "until ss -tln | grep ':22 '; do sleep 0.1; done"
        shown = lab.ok(new.host, f"{own}; ss -tln; cat /proc/1/cmdline")
        words = shown.decode().replace("\0", " ")
        assert ":2222 " in words
        assert "entrypoint.sh train" in words
        await_true(lambda: "====== ss -tulpn ======" in new.log(), 60, new.log)
    finally:
        new.stop()
