from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.identity.identities import Identity
from sm_proxy.local import paths
from sm_proxy.public_key import is_public_key
from sm_proxy.settings import Settings
from tests.fakes import HOST_KEY, tree

KEYGEN = shutil.which("ssh-keygen")
needs_keygen = pytest.mark.skipif(KEYGEN is None, reason="needs ssh-keygen")


def ours(folder: Path) -> Settings:
    return Settings(ssh_dir=str(folder / "ssh" / "sm-proxy"))


def own_key(folder: Path, *options: str) -> Settings:
    assert KEYGEN is not None
    path = folder / "my key"
    command = [KEYGEN, "-q", "-N", "", "-f", str(path), *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return Settings(identity_file=str(path))


def test_a_key_is_created_once_and_private(tmp_path: Path) -> None:
    key = identities.ensure(ours(tmp_path))
    assert is_public_key(key.public_key.rsplit(" ", 1)[0])
    assert key.public_key.endswith(" sm-proxy")
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(key.path.parent.parent.stat().st_mode) == 0o700
    before = tree(tmp_path)
    assert identities.ensure(ours(tmp_path)) == key
    assert tree(tmp_path) == before


@needs_keygen
def test_ssh_keygen_accepts_the_key_and_shows_the_same_fingerprint(tmp_path: Path) -> None:
    key = identities.ensure(ours(tmp_path))
    assert KEYGEN is not None
    done = subprocess.run(
        [KEYGEN, "-y", "-P", "", "-f", str(key.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[:2] == key.public_key.split()[:2]


def test_the_public_key_fits_into_a_jobs_environment(tmp_path: Path) -> None:
    key = identities.ensure(ours(tmp_path))
    assert key.environment() == {"SM_PROXY_AUTHORIZED_KEY": key.public_key}


def test_concurrent_processes_create_one_key(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from sm_proxy.identity import identities\n"
        "from sm_proxy.settings import Settings\n"
        "sys.stdin.read()\n"
        "print(identities.ensure(Settings(ssh_dir=sys.argv[1])).public_key)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "ssh")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    keys = set()
    for process in processes:
        assert process.stdout is not None
        with process.stdout:
            keys.add(process.stdout.read().strip())
        assert process.wait(20) == 0
    assert len(keys) == 1
    assert set(tree(tmp_path / "ssh")) == {"id_ed25519", "id_ed25519.pub"}


@needs_keygen
def test_the_users_own_key_is_used_unchanged(tmp_path: Path) -> None:
    settings = own_key(tmp_path, "-t", "ecdsa", "-C", "me  at   home")
    before = tree(tmp_path)
    key = identities.ensure(settings)
    assert key.path == tmp_path / "my key"
    assert key.public_key.startswith("ecdsa-sha2-nistp256 ")
    assert key.public_key.endswith(" me at home")
    assert tree(tmp_path) == before


@needs_keygen
def test_a_key_too_long_for_the_environment_is_refused(tmp_path: Path) -> None:
    key = identities.ensure(own_key(tmp_path, "-t", "rsa", "-b", "3072"))
    with pytest.raises(SmProxyError, match="512") as caught:
        key.environment()
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize(("length", "fits"), [(512, True), (513, False)])
def test_the_limit_is_that_of_the_service(length: int, *, fits: bool) -> None:
    key = Identity(Path("k"), "x" * length)
    assert key.fits_environment == fits
    if fits:
        assert key.environment()
    else:
        with pytest.raises(SmProxyError):
            key.environment()


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"not a key at all",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
        b"\xff\xfe",
        HOST_KEY.encode() + b" \x1b[31mcomment",
    ],
)
def test_a_key_without_a_readable_public_half_is_refused(
    content: bytes | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "my key.pub").write_bytes(content)
    with pytest.raises(SmProxyError, match="no public key can be read") as caught:
        identities.ensure(Settings(identity_file=str(tmp_path / "my key")))
    assert caught.value.code == "bad-setting"
    assert "Errno" not in caught.value.message
    assert f"ssh-keygen -y -f '{tmp_path}/my key' > '{tmp_path}/my key.pub'" in caught.value.hint


def test_a_tilde_in_the_path_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings(identity_file="~/.ssh/id_ed25519")
    assert identities.private_key_path(settings) == tmp_path / ".ssh" / "id_ed25519"
    default = paths.default_ssh_dir() / "id_ed25519"
    assert identities.private_key_path(Settings()) == default


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SmProxyError, match="cannot be written") as caught:
        identities.ensure(Settings(ssh_dir=str(tmp_path / "file" / "sm-proxy")))
    assert caught.value.code == "config-read-only"


@needs_keygen
def test_a_public_key_can_name_a_key_in_an_agent(tmp_path: Path) -> None:
    settings = own_key(tmp_path, "-t", "ed25519", "-C", "1Password")
    whole = identities.ensure(settings)
    whole.path.unlink()
    # With the path of a public key, ssh asks the agent for that one key.
    assert identities.ensure(settings).public_key == whole.public_key
    bare = identities.ensure(Settings(identity_file=f"{whole.path}.pub"))
    assert bare.public_key == whole.public_key
    assert identities.offered_paths(Settings(identity_file=f"{whole.path}.pub")) == [bare.path]


def test_a_file_with_several_public_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.pub"
    path.write_text(f"{HOST_KEY} one\n{HOST_KEY} two\n")
    with pytest.raises(SmProxyError, match="more than one line") as caught:
        identities.ensure(Settings(identity_file=str(path)))
    assert "ssh-add -L" in caught.value.hint
