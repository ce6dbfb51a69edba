"""What the first version of ours has written keeps its options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sm_proxy import cli
from sm_proxy import settings as settings_module
from sm_proxy.keys import identity
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import contexts, earlier

OWN = """\
# Written by sm-proxy: do not edit, `sm-proxy config write` replaces it.
Host {prefix}*
    ProxyCommand {command}
    User {user}
    IdentityFile {key}
    IdentitiesOnly yes
    StrictHostKeyChecking yes
    UserKnownHostsFile {folder}/known_hosts.d/%n
    GlobalKnownHostsFile none
    UpdateHostKeys no
    CheckHostIP no
    ConnectTimeout 120
    ServerAliveInterval 30
    ServerAliveCountMax 4
    Compression yes
"""
INCLUDE = """\
# >>> sm-proxy >>> (`sm-proxy config remove` takes these lines out)
Include "{folder}/config"
# <<< sm-proxy <<<
Host a
"""
COMMAND = (
    "'/opt/my tools/sm-proxy' --ssh-dir {folder} --profile 'research 100%% team'"
    " --region eu-west-1 --bastion i-1 --prefix eu- connect --user %r %n %p --wait 60"
)
OPTIONS = {
    "profile": "research 100% team",
    "region": "eu-west-1",
    "bastion": "i-1",
    "user": "ubuntu",
    "wait": 60,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s" / "sm-proxy").mkdir(mode=0o700, parents=True)
    return tmp_path / "s" / "sm-proxy"


def written(folder: Path, **changes: str) -> bytes:
    words = {
        "prefix": "eu-",
        "command": COMMAND.format(folder=folder),
        "user": "ubuntu",
        "key": f"{folder}/id_ed25519",
        "folder": str(folder),
        **changes,
    }
    return OWN.format(**words).encode()


@pytest.mark.parametrize("command", ["config write", "setup --yes"])
def test_the_first_write_of_today_keeps_every_option(command: str, folder: Path) -> None:
    key = folder.parent / "my key"
    identity.ensure(Settings(ssh_dir=str(folder.parent)))
    for suffix in ("", ".pub"):
        (folder.parent / f"id_ed25519{suffix}").rename(f"{key}{suffix}")
    (folder / "config").write_bytes(written(folder, key=f'"{key}"'))
    config = folder.parent / "config"
    config.write_text(INCLUDE.format(folder=folder))
    before = config.read_bytes()
    words = [*command.split(), "--ssh-config", str(config)]
    cli.main(words if "write" in words else [*words, "--region", "eu-west-1", "--prefix", "eu-"])
    text = (folder / "config").read_text()
    (record,) = (line for line in text.splitlines() if line.startswith(contexts.MARK))
    expected = {"prefix": "eu-", **OPTIONS, "identity_file": str(key)}
    assert json.loads(record.removeprefix(contexts.MARK)) == expected
    assert f'    IdentityFile "{key}"\n    IdentitiesOnly yes\n' in text
    assert "    ConnectTimeout 120\n" in text
    assert config.read_bytes() == before


def test_commands_by_hand_know_its_options(folder: Path) -> None:
    (folder / "config").write_bytes(written(folder))
    found = settings_module.load_for({"ssh_dir": str(folder)}, "eu-job")
    assert {name: getattr(found, name) for name in OPTIONS} == OPTIONS
    assert found.prefix == "eu-"
    assert found.identity_file is None


def test_what_was_left_at_its_default_is_left_there(folder: Path) -> None:
    command = "/opt/sm-proxy connect --user %r %n %p"
    content = written(folder, prefix="sm-", command=command, user=Settings.user)
    assert earlier.parse(content, folder / "config") == {"sm-": {}}


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"user": "a b"}, {**OPTIONS, "user": None}),
        ({"command": "C:/O'Brien/x.exe --region eu-west-1 connect"}, {"region": "eu-west-1"}),
        ({"command": ""}, {"user": "ubuntu"}),
        ({"prefix": "a !b"}, None),
        ({"prefix": "a*\nHost b"}, None),
    ],
)
def test_of_an_edited_block_what_can_be_read_is_kept(
    change: dict[str, str], known: dict[str, object] | None, folder: Path
) -> None:
    found = earlier.parse(written(folder, **change), folder / "config")
    if known is None:
        assert found == {}
    else:
        kept = {"user": "ubuntu", **known}
        assert found == {"eu-": {name: value for name, value in kept.items() if value is not None}}


def test_no_file_of_ours_is_no_earlier_version(folder: Path) -> None:
    assert earlier.parse(b"Host sm-*\n    User me\n", folder / "config") == {}
    assert contexts.parse(b"", folder / "config") == {}
