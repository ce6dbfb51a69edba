"""Keys from S3 while the job runs, and ssh between the nodes of a job.

The containers have roots made of Debian packages, with their own pdsh, ssh and sshd. The image is
made for mpirun: it has a key pair that may log in, and its ssh does not check host keys.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.labs import SM_PROXY, Job, Lab, running
from tests.lab.conftest import needs_debian
from tests.soak import SOAK, only_in_soak
from tests.waits import await_true

# As a user would do with boto3: put the laptop's key into S3.
_BUCKET = """
client("s3").create_bucket(Bucket="team")
key = open(os.environ["SM_PROXY_SSH_DIR"] + "/id_ed25519.pub", "rb").read()
client("s3").put_object(Bucket="team", Key="keys/laptop.pub", Body=b'command="x" ' + key)
"""
_KEYS_FROM_S3 = {
    "SM_PROXY_AUTHORIZED_KEY": None,
    "SM_PROXY_KEYS_S3": "s3://team/keys/",
    "SM_PROXY_NODES_S3": "s3://team/nodes",
    "SM_PROXY_REFRESH": "1",
}

_MANY = 8 if SOAK else 3

pytestmark = [
    pytest.mark.e2e,
    needs_debian,
]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a job of two nodes and one of `_MANY`."""
    with launched(tmp_path_factory.mktemp("team"), two=2, many=_MANY) as lab:
        yield lab


@contextlib.contextmanager
def launched(folder: Path, *options: str, **jobs: int) -> Iterator[Lab]:
    """A lab with Debian roots and jobs (name=nodes), once they accept the laptop's key."""
    train = folder / "train.sh"
    train.write_text("#!/bin/sh\nexec sleep 3600\n")
    train.chmod(0o755)
    image = ("--network", "netns", "--image", "framework")
    with running(folder, *image, *options, "--train", str(train)) as lab:
        lab.python(_BUCKET)
        for name, count in jobs.items():
            # Only the files of `two` change while its job runs.
            refresh = {} if name == "two" else {"SM_PROXY_REFRESH": "5"}
            lab.launch(name, nodes=count, environment={**_KEYS_FROM_S3, **refresh})
        for name in jobs:
            _await_admitted(lab, name)
        yield lab


def _await_admitted(lab: Lab, job: str) -> None:
    await_true(lambda: _admitted(lab, job), 60, lambda: f"{job} does not let us in")


def _put(lab: Lab, key: str, body: str) -> None:
    lab.python(f"client('s3').put_object(Bucket='team', Key={key!r}, Body={body!r}.encode())")


def _cards(lab: Lab) -> dict[str, str]:
    """The cards that the nodes have put into S3: key -> text."""
    found: dict[str, str] = lab.python(
        "s3 = client('s3')\n"
        "found = s3.list_objects_v2(Bucket='team', Prefix='nodes/')['Contents']\n"
        "bodies = {o['Key']: s3.get_object(Bucket='team', Key=o['Key'])['Body'] for o in found}\n"
        "answer = {key: body.read().decode() for key, body in bodies.items()}"
    )
    return found


def _try(
    lab: Lab, job: str, *words: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    return lab.ssh(*options, "-o", "BatchMode=yes", f"sm-{job}", *words)


def _admitted(lab: Lab, job: str) -> bool:
    return _try(lab, job, "true").returncode == 0


@pytest.mark.parametrize(("job", "node", "count"), [("two", 1, 2), ("many", _MANY, _MANY)])
def test_pdsh_reaches_all_nodes(team: Lab, job: str, node: int, count: int) -> None:
    """From the first node of one job and the last of the other; a node also reaches itself."""
    script = (
        "set -e; grep -q sm-proxy-lab-framework /etc/os-release;"
        " file=$(/opt/sm-proxy/wait-nodes.sh 60); cat $file;"
        " cut -d ' ' -f 1 $file >/tmp/nodes; export PDSH_RCMD_TYPE=ssh;"
        " pdsh -S -w ^/tmp/nodes 'echo $SM_CURRENT_HOST on $(hostname)'"
    )
    done = _try(team, f"{job}.algo-{node}", script)
    assert done.returncode == 0, done.stderr.decode()
    names = [f"algo-{number}" for number in range(1, count + 1)]
    lines = done.stdout.decode().splitlines()
    assert lines[:count] == [f"{name} slots=1" for name in names]
    assert sorted(lines[count:]) == sorted(f"{name}: {name} on {name}" for name in names)


def test_nodes_check_each_others_host_keys(team: Lab) -> None:
    """A node with the wrong host key is refused, by name and by address."""
    forged = (
        "/opt/sm-proxy/wait-nodes.sh 60 >/dev/null; cd /run/sm-proxy/nodes;"
        " sed -n 's/^algo-1 /algo-2 /p' known_hosts >/tmp/forged;"
        " for to in algo-2 $(getent ahostsv4 algo-2 | head -n 1 | cut -d ' ' -f 1); do"
        " ssh -n $to hostname;"
        " ssh -n -o UserKnownHostsFile=/tmp/forged $to hostname && exit 3; done; true"
    )
    done = _try(team, "two", forged)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == ["algo-2", "algo-2"]
    assert done.stderr.decode().count("Host key verification failed") == 2


def test_the_key_pair_of_the_image_is_refused(team: Lab, tmp_path: Path) -> None:
    """Neither a user who pulled the image nor another node can log in with it."""
    pair = tmp_path / "pair"
    pair.write_bytes(_try(team, "two", "cat /root/.ssh/id_rsa").stdout)
    pair.chmod(0o600)
    mine = ("-F", "none", "-o", "IdentitiesOnly=yes", "-i", str(pair))
    done = team.ssh(*mine, *_only(team, "two"), "true")
    assert b"Permission denied (publickey" in done.stderr
    with_pair = "ssh -n -o IdentityFile=/root/.ssh/id_rsa -F /dev/null -o BatchMode=yes"
    to_node = f"{with_pair} -o StrictHostKeyChecking=no algo-2 true"
    assert b"Permission denied (publickey" in _try(team, "two", to_node).stderr
    shown = json.loads(team.sm_proxy("inspect", "sm-two", "--json").stdout)["data"]["problems"]
    where = "/root/.ssh/authorized_keys is ignored: this image holds its private half"
    assert f"a key in {where} (/root/.ssh/id_rsa)" in shown


def test_only_public_halves_leave_a_container(team: Lab) -> None:
    cards = "".join(_cards(team).values())
    assert cards.count("sm-proxy-node 1") == 2 + _MANY
    assert cards.count("client ssh-ed25519 ") == 2 + _MANY
    assert "PRIVATE" not in cards


def test_a_forged_card_does_not_let_another_host_in(team: Lab, tmp_path: Path) -> None:
    """Somebody who can write to that S3 folder can log in only from the address of a node."""
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
    where, true = next(item for item in _cards(team).items() if item[0].endswith("-two/algo-2"))
    job = next(line for line in true.splitlines() if line.endswith("/two"))
    card = f"sm-proxy-node 1\n{job}\nnode algo-2\nport 22\nuser root\nslots 1\nclient {public}\n"
    seen = f"grep -q '^from=.*{public}' /run/sm-proxy/authorized_keys"

    def taken() -> bool:
        # The node soon replaces the card: look before that.
        _put(team, where, card)
        look = f"for i in 1 2 3 4 5 6; do {seen} && exit; sleep 0.5; done; false"
        return _try(team, "two", look).returncode == 0

    mine = ("-o", "IdentitiesOnly=yes", "-i", str(key))
    words = "with correct key but not from a permitted host"

    def refused_for_its_place() -> bool:
        if not taken():
            return False
        done = team.ssh("-F", "none", *mine, *_only(team, "two"), "true")
        assert done.returncode == 255
        assert b"Permission denied" in done.stderr
        return words in _log(team, "two")  # False if the card was already replaced: try again

    await_true(refused_for_its_place, 180, lambda: _log(team, "two"))
    await_true(
        lambda: _try(team, "two", f"! {seen}").returncode == 0, 30, lambda: "the card stayed"
    )


def _only(lab: Lab, job: str) -> list[str]:
    """Options for an ssh to a job that offers only the `-i` key."""
    proxy = shlex.join([*SM_PROXY, "connect", "--user", "root", f"sm-{job}", "22"])
    hosts = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    return [*hosts, "-o", "BatchMode=yes", "-o", f"ProxyCommand={proxy}", f"root@sm-{job}"]


def test_a_laptop_is_revoked_and_added_while_the_job_runs(team: Lab) -> None:
    key = Path(team.environment["SM_PROXY_SSH_DIR"], "id_ed25519.pub").read_text()
    marker_lines = _markers(team, "two")
    team.python("client('s3').delete_object(Bucket='team', Key='keys/laptop.pub')")
    try:
        await_true(lambda: not _admitted(team, "two"), 60, lambda: "still let in")
        done = _try(team, "two", "true")
        assert b"Permission denied" in done.stderr
    finally:
        _put(team, "keys/laptop.pub", key)
    _await_admitted(team, "two")
    assert _markers(team, "two") == marker_lines == 2


@only_in_soak
def test_users_and_nodes_still_connect_when_s3_is_denied(team: Lab) -> None:
    with team.faults(deny=["s3:*"]):
        known = "nodes: S3 could not be used: curl: S3 answered 403 AccessDenied"
        await_true(lambda: known in _log(team, "two"), 60, lambda: _log(team, "two"))
        assert _admitted(team, "two")
        done = _try(team, "two", "ssh -n algo-2 hostname")
        assert done.stdout == b"algo-2\n", done.stderr


def _log(lab: Lab, job: str) -> str:
    return Job(lab, job).log()


def _markers(lab: Lab, job: str) -> int:
    return _log(lab, job).count('{"sm_proxy_marker"')
