"""Keys whose private half is in the image cannot log in, no matter who authorises them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy.local import container_files

from .conftest import SHELLS, Box, needs_container, shell_argv, wait_for
from .servers_test import SERVERS, Laptop, new_key

# Private keys in an image: arguments of ssh-keygen, and the path of the file.
PAIRS = {
    "the usual pair": (["-t", "rsa", "-b", "2048"], "root/.ssh/id_rsa"),
    "another name": (["-t", "ecdsa"], "root/.ssh/cluster.key"),
    "old format": (["-t", "rsa", "-b", "2048", "-m", "PEM"], "root/.ssh/id_pem"),
    "PKCS 8": (["-t", "ecdsa", "-m", "PKCS8"], "opt/ssh/mpi"),
    "a passphrase": (["-t", "ed25519", "-N", "secret"], "root/.ssh/locked"),
    "another user's": (["-t", "ed25519"], "var/mail/.ssh/id_ed25519"),
    "a folder below": (["-t", "ed25519"], "etc/ssh/keys/id"),
    "named in ssh's settings": (["-t", "ed25519"], "srv/it/here"),
    "in a folder of anybody's": (["-t", "ed25519"], "srv/keys/mpi/cluster"),
    "a host key": (["-t", "ed25519"], "etc/ssh/ssh_host_ed25519_key"),
}
WITH_PUBLIC = {"the usual pair", "a host key"}
Pairs = tuple[Path, dict[str, Path]]
SETTINGS = 'Host algo-*\n  IdentityFile "/srv/it/here"\n'


@pytest.fixture(scope="module")
def image_with_pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """An image that authorises the public half of each pair, and the private halves' paths."""
    root = tmp_path_factory.mktemp("pairs")
    made = {}
    authorised = root / "root/.ssh/authorized_keys"
    for name, (words, place) in PAIRS.items():
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        passphrase = [] if "-N" in words else ["-N", ""]
        subprocess.run(["ssh-keygen", "-q", *words, *passphrase, "-f", str(file)], check=True)
        public = Path(f"{file}.pub")
        with authorised.open("a", encoding="utf-8") as lines:
            lines.write(f"no-agent-forwarding {public.read_text(encoding='utf-8')}")
        if name not in WITH_PUBLIC:
            public.unlink()
        made[name] = file
    (root / "root/.ssh/config").write_text(SETTINGS, encoding="utf-8")
    made["named in ssh's settings"].chmod(0o644)  # ssh-keygen refuses to read such a file
    content = made["another name"].read_bytes().replace(b"\n", b"\r\n")
    made["another name"].write_bytes(content)
    return root, made


def copy_pairs(image: Pairs, root: Path) -> dict[str, Path]:
    """Copy the image's files below `root`; return the paths of the private halves there."""
    source, made = image
    shutil.copytree(source, root, dirs_exist_ok=True)
    return {name: root / file.relative_to(source) for name, file in made.items()}


_SCENE = """
run=$1 here=$2 home=$3/root root=$3
umask 077
cd "$run" # where a Dockerfile's WORKDIR may hold keys
for part in clock environment keys exposed_keys; do . "$here/$part.sh"; done
add_problem() { echo "$*"; }
check_exchange() { :; }
with_timeout() { "$@"; }
clean_env_with_timeout() { [ "$1" = "$TOOL" ] && "$@"; }
list_key_folders() {
    printf '%s\\n' "$root/etc/ssh" "$root/opt/ssh" "$home/.ssh" "$root/var/mail/.ssh"
}
list_identity_files() { echo "$root/srv/it/here"; }
list_stray_keys() { echo "$root/srv/keys/mpi/cluster"; }
write_authorized_keys
cat "$run/image_keys"
"""


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("tool", ["ssh-keygen", "none"])
def test_private_keys_are_found_by_their_content(
    image_with_pairs: Pairs, tmp_path: Path, shell: str, tool: str
) -> None:
    """Without ssh-keygen, OpenSSL's formats are unreadable, so all the image's keys are ignored."""
    root, run = tmp_path / "root", tmp_path / "run"
    run.mkdir()
    made = copy_pairs(image_with_pairs, root)
    authorised = root / "root/.ssh/authorized_keys"
    good = new_key(tmp_path / "good").with_suffix(".pub").read_text(encoding="utf-8")
    with authorised.open("a", encoding="utf-8") as lines:
        lines.write(f'command="it is" {good}')
    environment = {**os.environ, "TOOL": tool, "SM_PROXY_AUTHORIZED_KEY": good}
    environment["SM_PROXY_AUTHORIZED_KEY_2"] = next(
        line for line in authorised.read_text(encoding="utf-8").splitlines() if "ssh-rsa" in line
    )
    words = ["sh", str(run), str(container_files.folder()), str(root)]
    done = subprocess.run(
        [*shell_argv(shell), "-c", _SCENE, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    output = done.stdout.splitlines()
    assert (run / "authorized_keys").read_text() == " ".join(good.split()[:2]) + "\n"
    pair = made["the usual pair"]
    assert (
        f"a key of SM_PROXY_AUTHORIZED_KEY is ignored: this image holds its private half ({pair})"
    ) in output
    readable = {name for name, (words, _) in PAIRS.items() if "-m" not in words}
    for name in PAIRS if tool == "ssh-keygen" else readable:
        one = f"a key in {authorised} is ignored: this image holds its private half"
        assert f"{one} ({made[name]})" in output, name
    if tool == "ssh-keygen":
        assert output[-1] == f'command="it is" {good.strip()}'
        assert not [line for line in output if "may hold" in line]
    else:
        assert "this image may hold their private halves" in output[-1]
    assert {file.name for file in run.iterdir()} <= {
        "authorized_keys",
        "exposed_keys",
        "exposed_keys.patterns",
        "image_keys",
    }


def assert_refused(laptop: Laptop, keys: list[Path]) -> None:
    """Check that a login which offers all these keys is refused."""
    first, *others = keys
    words = [word for key in others for word in ("-i", str(key))]
    refused = laptop.ssh("-v", "-o", "IdentitiesOnly=yes", *words, "true", key=first)
    log = refused.stderr.decode()
    assert refused.returncode == 255, log
    tried = re.findall(r"(?:Offering public|Trying private) key: (\S+)", log)
    assert sorted(tried) == sorted(map(str, keys)), log
    assert "Load key" not in log, log


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize("server", [None, *SERVERS])
def test_exposed_keys_are_refused(
    image_with_pairs: Pairs, box: Box, server: str | None, tmp_path: Path
) -> None:
    image = box.root / "opt/image"
    made = copy_pairs(image_with_pairs, image)
    authorised = image / "root/.ssh/authorized_keys"
    good, mine, later = (new_key(tmp_path / name) for name in ("good", "mine", "later"))
    with authorised.open("a", encoding="utf-8") as lines:
        lines.write(f"no-x11-forwarding {Path(f'{good}.pub').read_text(encoding='utf-8')}")
    box.prelude = "cp -a /opt/image/root/.ssh /root/; chmod 700 /root/.ssh; chown -R 0:0 /root/.ssh"
    box.prelude += "; cp -a /opt/image/etc/ssh/. /etc/ssh; mount --bind /opt/image/srv /srv"
    box.prelude += "; mkdir -p /opt/ssh /var/mail; cp -a /opt/image/opt/ssh/. /opt/ssh/"
    box.prelude += "; mount --bind /opt/image/var/mail /var/mail"
    own = {
        "SM_PROXY_AUTHORIZED_KEY": Path(f"{mine}.pub").read_text(encoding="utf-8"),
        "SM_PROXY_AUTHORIZED_KEY_2": Path(f"{made['the usual pair']}.pub").read_text("utf-8"),
    }
    box.start("sleep", "600", **own, **({"SM_PROXY_SSHD": server} if server else {}))
    wait_for(box.run_dir / "ready")
    marker = json.loads((box.run_dir / "marker").read_text(encoding="utf-8"))
    laptop = Laptop(box, mine)
    for key in (mine, good):
        assert laptop.ssh("true", key=key).returncode == 0, key
    del made["a passphrase"]  # ssh would ask for it
    for file in made.values():
        file.write_bytes(file.read_bytes().replace(b"\r\n", b"\n"))  # ssh does not read CRLF
        file.chmod(0o600)
    assert_refused(laptop, list(made.values()))
    pair = "this image holds its private half (/root/.ssh/id_rsa)"
    assert f"a key in /root/.ssh/authorized_keys is ignored: {pair}" in marker["problems"]
    assert f"a key of SM_PROXY_AUTHORIZED_KEY is ignored: {pair}" in marker["problems"]
    if server is None or "python" in server:  # a key that is added later may log in
        add = f"echo '{Path(f'{later}.pub').read_text('utf-8').strip()}' >>~/.ssh/authorized_keys"
        assert laptop.ssh(add).returncode == 0
        assert laptop.ssh("true", key=later).returncode == 0


# Contents of a .pub file that ssh-keygen cannot read.
BAD_HALVES = [
    "ssh-rsa AAAA",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
    "ssh-ed448 AAAACXNzaC1lZDQ0OAAAADkKPp",
    "ssh-dss AAAAB3NzaC1kc3MAAACBAP",
    "AAAA",
    "",
]


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_an_unreadable_public_half_locks_no_user_out(box: Box, tmp_path: Path) -> None:
    """If sshd cannot read one line of its list of revoked keys, it treats every key as revoked."""
    folder = box.root / "opt/image/.ssh"
    folder.mkdir(parents=True)
    mine = new_key(tmp_path / "mine")
    keys = {"SM_PROXY_AUTHORIZED_KEY": Path(f"{mine}.pub").read_text("utf-8")}
    pairs = [new_key(folder / f"id_{number}") for number in range(len(BAD_HALVES))]
    for number, (pair, bad) in enumerate(zip(pairs, BAD_HALVES, strict=True), 2):
        half = Path(f"{pair}.pub")
        keys[f"SM_PROXY_AUTHORIZED_KEY_{number}"] = half.read_text("utf-8")
        half.write_text(f"{bad} us@here\n", encoding="utf-8")
    box.prelude = "cp -a /opt/image/.ssh /root/; chmod 700 /root/.ssh; chown -R 0:0 /root/.ssh"
    box.start("sleep", "600", **keys)
    wait_for(box.run_dir / "ready")
    laptop = Laptop(box, mine)
    assert laptop.ssh("true").returncode == 0
    assert_refused(laptop, pairs)
    marker = json.loads((box.run_dir / "marker").read_text(encoding="utf-8"))
    assert marker["problems"] == [
        "a key of SM_PROXY_AUTHORIZED_KEY is ignored: this image holds its private half"
        f" (/root/.ssh/{pair.name})"
        for pair in pairs
    ]
