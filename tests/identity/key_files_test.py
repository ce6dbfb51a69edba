from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy.identity import key_files

KEYGEN = shutil.which("ssh-keygen")


@pytest.mark.parametrize("passphrase", [None, "correct horse", "\u00fc"])
def test_the_public_half_is_read_from_the_private_half(
    passphrase: str | None, tmp_path: Path
) -> None:
    pair = key_files.generate(passphrase)
    key_files.write(tmp_path / "key", pair)
    assert key_files.read(tmp_path / "key") == pair
    assert key_files.is_encrypted(pair.private) is (passphrase is not None)
    assert key_files.is_whole(tmp_path / "key", pair)
    key_files.public_path(tmp_path / "key").write_text(key_files.generate().public)
    assert not key_files.is_whole(tmp_path / "key", pair)


@pytest.mark.skipif(KEYGEN is None, reason="needs ssh-keygen")
@pytest.mark.parametrize("kind", [["ed25519"], ["ecdsa"], ["rsa", "-b", "2048"]])
def test_keys_made_by_openssh_are_read(kind: list[str], tmp_path: Path) -> None:
    assert KEYGEN is not None
    path = tmp_path / "key"
    command = [KEYGEN, "-q", "-t", *kind, "-N", "correct horse", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    found = key_files.read(path)
    assert found.public.split()[:2] == Path(f"{path}.pub").read_text().split()[:2]
    assert key_files.is_encrypted(found.private)


def test_a_file_that_is_not_a_key_is_refused(tmp_path: Path) -> None:
    good = key_files.generate().private
    for content in (b"", b"\xff", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", good[:90], good[:36]):
        (tmp_path / "key").write_bytes(content)
        (tmp_path / "key").chmod(0o600)
        with pytest.raises(OSError, match="is not a private key"):
            key_files.read(tmp_path / "key")
        assert not key_files.is_encrypted(content) or content == good[:90]


def test_temporary_files_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".key.abc").write_bytes(b"half a key")
    (tmp_path / ".other.abc").write_bytes(b"not ours")
    key_files.write(tmp_path / "key", key_files.generate())
    assert {path.name for path in tmp_path.iterdir()} == {"key", "key.pub", ".other.abc"}
    key_files.remove(tmp_path / "key")
    key_files.remove(tmp_path / "key")
    assert {path.name for path in tmp_path.iterdir()} == {".other.abc"}
