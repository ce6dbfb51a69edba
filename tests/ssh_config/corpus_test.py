"""Configs as real people have them: nothing outside our marks ever changes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.config_writer import Stub
from sm_proxy.settings import Settings

SSH = shutil.which("ssh")
BOM = b"\xef\xbb\xbf"
OTHERS = ("other", "web1.example.com", "github.com", "sm_toolkit")
AS_SSH_READS: dict[str, bytes] = {
    "empty": b"",
    "one newline": b"\n",
    "comment only": b"# mine",
    "plain": b"Host other\n    User me\n    Port 2200\n",
    "no final newline": b"Host other\n    User me",
    "crlf": b"Host other\r\n    User me\r\n",
    "crlf no final newline": b"Host other\r\n    User me",
    "mixed line ends": b"Host other\r\n    User me\nHost git\n  User git\n",
    "tabs": b"Host\tother\n\tUser\tme\n",
    "equals": b"Host=other\nUser=me\nPort = 2200\n",
    "quotes": b'Host "other" git\n  User "me"\n  IdentityFile "~/my key"\n',
    "trailing spaces": b"Host other   \n  User me  \n",
    "trailing comment": b"Host other # mine\n  User me # too\n",
    "lower case": b"host other\n  user me\n",
    "upper case": b"HOST other\n  USER me\n",
    "no indent": b"Host other\nUser me\nHost git\nUser git\n",
    "blank lines": b"\n\n\nHost other\n\n\n  User me\n\n\n",
    "star first": b"Host *\n  User everyone\n  ServerAliveInterval 10\nHost other\n  Port 2200\n",
    "star last": b"Host other\n  User me\nHost *\n  Compression no\n",
    "globals first": b"User everyone\nServerAliveInterval 7\nHost other\n  Port 2\n",
    "negated": b"Host * !github.com\n  User me\n",
    "patterns": b"Host web?.example.com *.internal\n  User web\n  ProxyJump git\n",
    "many names": b"Host a b c other d\n  User me\n",
    "match host": b"Match host other\n  User me\nHost *\n  User rest\n",
    "match exec": b'Match host git exec "true"\n  User me\n',
    "match all": b"Host other\n  User me\nMatch all\n  Port 99\n",
    "match final": b"Match final host other\n  User me\n",
    "match originalhost": b"Match originalhost other user bob\n  Port 3\n",
    "include missing": b"Include nowhere/*.conf\nHost other\n  User me\n",
    "include in host": b"Host other\n  Include ~/.ssh/nowhere\n  User me\n",
    "ignore unknown": b"IgnoreUnknown UseKeychain\nUseKeychain yes\nHost other\n  User me\n",
    "jump": b"Host other\n  ProxyJump git\nHost git\n  HostName 192.0.2.1\n",
    "proxy command": b"Host other\n  ProxyCommand nc -X 5 -x 'a b:1' %h %p\n",
    "forwards": b"Host other\n  LocalForward 8080 localhost:80\n  RemoteForward 9 a:9\n",
    "control master": b"Host *\n  ControlMaster auto\n  ControlPath ~/.ssh/%C\n",
    "toolkit": b'# Created by AWS Toolkit\nHost sm_*\n  ForwardAgent yes\n  ProxyCommand "x" %h\n',
    "own host": b"Host sm-mine\n  HostName 192.0.2.9\n  User me\n",
    "own host in quotes": b'Host a "sm-mine"\n  HostName 192.0.2.9\n',
    "own pattern": b"# sm-mine\nHost *.other sm-mi* !sm-missing\n  HostName %h.lan\n",
    "own pattern with a jump": b"# sm-mine\nhost sm-m?ne\n\tUser me\n\tproxyjump=gate\n",
    "own pattern with a command": b'# sm-mine\r\nHost "sm-*ine"\r\n  ProxyCommand nc %h %p\r\n',
    "own host with equals": b"Host = sm-mine\n  HostName = 192.0.2.9\n",
    "utf-8": "# bjørn 日本\nHost other\n  User bjørn\n".encode(),
    "latin-1": b"# bj\xf8rn\nHost other\n  User me\n",
    "other tools' marks": b"# >>> conda >>>\n# <<< conda <<<\nHost other\n  User me\n",
    "commented include of ours": b"#Include ~/.ssh/sm-proxy/config\nHost other\n  User me\n",
    "orbstack": b"# Added by OrbStack\nInclude ~/.orbstack/ssh/config\nHost other\n  User me\n",
    "coder": b"# ------------START-CODER-----------\nHost coder.*\n  User c\n# ---END-CODER---\n",
    "huge": b"".join(b"Host h%d\n  User u\n" % number for number in range(20_000)),
}
"""Configs that ssh accepts."""
AS_BYTES = {
    **AS_SSH_READS,
    "bom": BOM + b"Host other\n",
    "bom crlf": BOM + b"Host other\r\n",
    "nul": b"Host other\n\x00  User me\n",
    "lone cr": b"Host other\r  User me\r",
    "include with nul": b'Include a\x00b "~/\x00"\nHost other\n',
    "include that leads nowhere": b"Include " + b"x" * 5000 + b" /dev/null ~no-one/x\n",
    "nonsense": bytes(range(256)) * 5,
}


def asked(config: Path, mine: bytes) -> list[str]:
    """The real ssh's options for other hosts, also for `sm-mine`, which is the user's own."""
    assert SSH is not None
    hosts = (*OTHERS, "sm-mine") if b"sm-mine" in mine else OTHERS
    return [
        subprocess.run(
            [SSH, "-G", "-F", str(config), host], capture_output=True, text=True, check=True
        ).stdout
        for host in hosts
    ]


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def write(config: Path, settings: Settings) -> None:
    config_writer.apply(config_writer.plan(config, settings, ["/opt/bin/sm-proxy"]))


@pytest.mark.parametrize("name", AS_BYTES)
def test_every_command_keeps_the_users_bytes(name: str, tmp_path: Path) -> None:
    before = AS_BYTES[name]
    config = put(tmp_path / "ssh" / "config", before)
    settings = Settings(ssh_dir=str(tmp_path / "ssh" / "sm-proxy"))
    rest = before.removeprefix(BOM)
    readable = SSH is not None and name in AS_SSH_READS
    answers = asked(config, before) if readable else []
    write(config, settings)
    once = config.read_bytes()
    assert once.endswith(rest)
    assert once != before
    write(config, settings)
    assert config.read_bytes() == once
    config_writer.apply(config_writer.plan_stubs(settings, [Stub("sm-job", "root", "")]))
    assert config.read_bytes() == once
    if readable:
        assert asked(config, before) == answers
    config_writer.apply(config_writer.plan_removal(config, settings))
    assert config.read_bytes() == before


def test_the_corpus_is_large() -> None:
    assert len(AS_BYTES) >= 40


def test_own_hosts_of_included_files_are_excluded(tmp_path: Path) -> None:
    more = put(tmp_path / "ssh" / "more.conf", b"Host sm-mine\n  HostName 192.0.2.9\n")
    loop = f'Include "{tmp_path}/ssh/*.conf"\nInclude {tmp_path}/ssh/config\n'
    config = put(tmp_path / "ssh" / "config", loop.encode())
    settings = Settings(ssh_dir=str(tmp_path / "ssh" / "sm-proxy"))
    write(config, settings)
    own = (settings.ssh_folder / "config").read_text()
    assert "Host sm-* !sm-mine\n" in own
    config_writer.apply(config_writer.plan_stubs(settings, [Stub("sm-mine", "root", "")]))
    assert config_writer.read_stubs(settings) == []
    more.unlink()
    write(config, settings)
    assert "Host sm-*\n" in (settings.ssh_folder / "config").read_text()
