from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import paramiko
import pytest

from sm_proxy import config_writer
from sm_proxy.config_writer import Stub
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import blocks, our_file
from tests.config_command import own, run
from tests.ssh_config.helpers import PROGRAM, own_text

SSH = shutil.which("ssh")
needs_ssh = pytest.mark.skipif(SSH is None, reason="needs the OpenSSH client")


def ssh_options(config: Path, *words: str) -> dict[str, str]:
    """What the real ssh has in effect, by lower-case keyword."""
    assert SSH is not None
    done = subprocess.run([SSH, "-F", str(config), "-G", *words], capture_output=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.decode().splitlines() if " " in line)


@pytest.mark.parametrize(
    "stub",
    [
        Stub("sm-*", "root", ""),
        Stub("other", "root", ""),
        Stub("sm-a\nProxyCommand x", "root", ""),
        Stub("sm-a !sm-b", "root", ""),
        Stub("sm-a", "root\n  ProxyCommand x", ""),
        Stub("sm-a", "-oProxyCommand=x", ""),
    ],
)
def test_a_hostile_stub_is_refused(stub: Stub, dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    with pytest.raises(SmProxyError):
        config_writer.plan_stubs(Settings(ssh_dir=str(dot_ssh / "sm-proxy")), [stub])


def test_a_hostile_comment_stays_a_comment(dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    settings = Settings(ssh_dir=str(dot_ssh / "sm-proxy"))
    comment = "x\n# <<< sm-proxy stubs <<<\nHost *\n  User evil\x1b[0m"
    config_writer.apply(config_writer.plan_stubs(settings, [Stub("sm-a", "root", comment)]))
    assert len(config_writer.read_stubs(settings)) == 1
    assert "\nHost *" not in own(dot_ssh)
    assert "\x1b" not in own(dot_ssh)


def test_control_master_has_a_private_folder_and_room_for_host_names(
    dot_ssh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sm_proxy.ssh_config.blocks._SUN_PATH", 500)
    run(dot_ssh, "write", "--control-master")
    assert f"    ControlPath {dot_ssh}/sm-proxy/cm/%r@%n:%p\n" in own(dot_ssh)
    assert (dot_ssh / "sm-proxy" / "cm").stat().st_mode & 0o077 == 0
    run(dot_ssh, "write", "--no-control-master")
    assert "ControlMaster" not in own(dot_ssh)
    monkeypatch.setattr("sm_proxy.ssh_config.blocks._SUN_PATH", 103)
    long = Settings(ssh_dir=str(tmp_path / ("x" * 60)), control_master=True)
    with pytest.raises(SmProxyError, match="room for a host name"):
        config_writer.plan(dot_ssh / "config", long, ["/x"])


@needs_ssh
def test_a_name_too_long_for_a_socket_gets_no_control_path(dot_ssh: Path) -> None:
    """An ssh with too long a ControlPath ends at once, so this host must not get one."""
    folder = Path("/tmp") / f"{os.getpid()}"
    settings = Settings(ssh_dir=str(folder), control_master=True)
    known = {prefix: our_file.recorded_options(settings) for prefix in ("sm-", "sm-eu-", "x")}
    mine = ("sm-" + "m" * 90,)
    (dot_ssh / "config").write_text(
        blocks.render(Settings(ssh_dir=str(folder)), known, ["false"], taken=mine)
    )
    (dot_ssh / "config").chmod(0o600)
    room = 108 - 1 - len(f"{folder}/cm/root@:22") - 17  # of a name on Linux

    def ssh(*words: str) -> str:
        assert SSH is not None
        command = [SSH, "-F", str(dot_ssh / "config"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    for prefix in known:
        for length in (len(prefix) + 1, 43, room - 8, room, room + 1, room + 17, room + 18, 200):
            name = prefix + "a" * (length - len(prefix))
            assert "ControlPath too long" not in ssh("-p", "65535", name, "true")
            assert ("controlpath " in ssh("-G", name)) is (length <= room - 8), length
    assert "controlpath none" not in ssh("-G", *mine)
    assert "proxycommand" not in ssh("-G", *mine)


@needs_ssh
def test_spaces_and_nodes_have_users_of_their_own(dot_ssh: Path) -> None:
    (dot_ssh / "config").write_text("Host sm-mine.space\nHost *\n  ForwardAgent yes\n  User me\n")
    run(dot_ssh, "write", "--user", "docker")
    run(dot_ssh, "write", "--prefix", "sm-eu-", "--region", "eu-west-1")

    def options(*words: str) -> dict[str, str]:
        return ssh_options(dot_ssh / "config", *words)

    for host, user, agent in (
        ("sm-eu-a.space", "sagemaker-user", "no"),
        ("sm-My-Space.d-0ab.space", "sagemaker-user", "no"),
        ("sm-eu-a.workers.1.hyperpod", "ubuntu", "yes"),
        ("sm-a.training", "docker", "yes"),
        ("sm-mine.space", "me", "yes"),
    ):
        found = options(host)
        assert (found["user"], found["forwardagent"]) == (user, agent), host
        ours = host != "sm-mine.space"
        assert (f" connect --user {'%r'} %n %p" in found.get("proxycommand", "")) is ours
        assert ("--region eu-west-1" in found.get("proxycommand", "")) is ("-eu-" in host)
    assert options("-l", "ec2-user", "-A", "sm-a.space")["user"] == "ec2-user"


@needs_ssh
def test_a_socket_has_room_for_the_user_of_its_kind(dot_ssh: Path) -> None:
    """The users of spaces and nodes are longer than root; ssh ends if a ControlPath is too long."""
    folder = Path("/tmp") / ("x" * 10)
    settings = Settings(ssh_dir=str(folder), control_master=True)
    text = blocks.render(settings, {"sm-": our_file.recorded_options(settings)}, ["false"])
    (dot_ssh / "config").write_text(text)
    for kind, user in (("space", "sagemaker-user"), ("hyperpod", "ubuntu")):
        room = 103 - 17 - len(f"{folder}/cm/{user}@:65535")
        for length in (room, room + 1):
            name = "sm-".ljust(length - len(kind) - 1, "a") + f".{kind}"
            path = ssh_options(dot_ssh / "config", name).get("controlpath", "none")
            assert (path != "none") is (length <= room), (name, length, room)
    cramped = Settings(ssh_dir=str(Path("/tmp") / ("x" * 10)))
    text = blocks.render(cramped, {"sm-": our_file.recorded_options(cramped)}, ["false"])
    assert text.count("ControlPath none") == len(("space", "hyperpod", "jobs"))


def test_a_file_of_an_earlier_version_is_out_of_date(
    dot_ssh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dot_ssh, "write")
    path, new = dot_ssh / "sm-proxy" / "config", own(dot_ssh)
    begin, end = new.index("Host sm-*.space"), new.index("Host sm-*\n")
    path.write_text(new[:begin] + new[end:])
    run(dot_ssh, "check", status=1)
    assert "out of date" in capsys.readouterr().err
    run(dot_ssh, "write")
    assert own(dot_ssh) == new


def test_options_of_the_context_are_in_the_command() -> None:
    settings = Settings(
        ssh_dir="/x/sm-proxy",
        profile="research team",
        region="eu-west-1",
        bastion="i-1",
        route="bastion",
        prefix="eu-",
        wait=60,
    )
    command = blocks.proxy_command(settings, ["/a b/100%/sm-proxy"])
    assert " connect --user %r %n %p" in command
    assert shlex.split(command) == [
        *("/a b/100%%/sm-proxy", "--ssh-dir", "/x/sm-proxy", "--profile", "research team"),
        *(
            "--region",
            "eu-west-1",
            "--bastion",
            "i-1",
            "--route",
            "bastion",
            "--prefix",
            "eu-",
            "connect",
        ),
        *("--user", "%r", "%n", "%p", "--wait", "60"),
    ]
    assert "\n    ConnectTimeout 120\n" in own_text(settings)


def test_defaults_are_not_in_the_command() -> None:
    command = blocks.proxy_command(Settings(), PROGRAM)
    assert command == "/opt/sm-proxy/bin/sm-proxy connect --user %r %n %p"


def test_a_relative_folder_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = own_text(Settings(ssh_dir="x", identity_file="key"))
    assert f"--ssh-dir {tmp_path}/x " in block
    assert f"IdentityFile {tmp_path}/key\n" in block


@pytest.mark.parametrize("folder", ['a"b', "${HOME}"])
def test_a_path_that_ssh_config_cannot_hold_is_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(SmProxyError) as caught:
        own_text(Settings(ssh_dir=str(tmp_path / folder)))
    assert caught.value.code == "unsupported"


def test_paths_in_the_home_are_written_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ssh_home", lambda: tmp_path)
    block = own_text(Settings())
    assert "IdentityFile ~/.ssh/sm-proxy/id_ed25519\n" in block
    assert "UserKnownHostsFile ~/.ssh/sm-proxy/known_hosts.d/%n\n" in block
    assert our_file.include_line(tmp_path / ".ssh/sm-proxy/config") == (
        "Include ~/.ssh/sm-proxy/config"
    )


@needs_ssh
def test_ssh_runs_the_command_with_the_name_as_typed(tmp_path: Path) -> None:
    """Through the user's shell, from a folder with a space, a quote and a percent sign."""
    base = tmp_path / "O'Brien 100%"
    base.mkdir(mode=0o700)
    program = base / "sm-proxy"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$0.seen"\n')
    program.chmod(0o700)
    settings = Settings(ssh_dir=str(base / "sm-proxy.d"), profile="my team")
    config_writer.apply(config_writer.plan(base / "config", settings, [str(program)]))
    assert SSH is not None
    subprocess.run(
        [SSH, "-F", str(base / "config"), "-p", "2222", "sm-My-Job.2"],
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert Path(f"{program}.seen").read_text().splitlines() == [
        *("--ssh-dir", str(base / "sm-proxy.d"), "--profile", "my team", "connect"),
        *("--user", "root", "sm-My-Job.2", "2222"),
    ]


def test_a_stub_serves_clients_that_do_not_know_tokens(dot_ssh: Path) -> None:
    """Paramiko passes `%n` on unchanged; asyncssh ends with an error."""
    run(dot_ssh, "write", "--region", "eu-west-1")
    settings = Settings(ssh_dir=str(dot_ssh / "sm-proxy"))
    hosts = ["sm-My-Job", "sm-My-Job.algo-2"]
    stubs = [Stub(host, "me", "training job") for host in hosts]
    config_writer.apply(config_writer.plan_stubs(settings, stubs))
    once = own(dot_ssh)
    run(dot_ssh, "write", "--region", "eu-west-1")
    assert own(dot_ssh) == once  # `config write` renders them in the same way
    config = paramiko.SSHConfig.from_path(str(dot_ssh / "sm-proxy" / "config"))
    for host in hosts:
        found = config.lookup(host)
        assert found["user"] == "me"
        assert found["proxycommand"].endswith(f"connect --user me {host} 22")
        assert "--region eu-west-1 " in found["proxycommand"]
        assert found["userknownhostsfile"] == f"{dot_ssh}/sm-proxy/known_hosts.d/{host}"
        assert found["stricthostkeychecking"] == "yes"
    assert "%n" in config.lookup("sm-other")["proxycommand"]


def test_the_stub_of_a_longer_prefix_has_that_context(dot_ssh: Path) -> None:
    run(dot_ssh, "write", "--region", "us-east-1")
    run(dot_ssh, "write", "--prefix", "sm-eu-", "--region", "eu-west-1")
    settings = Settings(ssh_dir=str(dot_ssh / "sm-proxy"))
    stubs = [Stub("sm-eu-a", "root", ""), Stub("sm-a", "root", "")]
    config_writer.apply(config_writer.plan_stubs(settings, stubs))
    config = paramiko.SSHConfig.from_path(str(dot_ssh / "sm-proxy" / "config"))
    for host, region in (("sm-eu-a", "eu-west-1"), ("sm-a", "us-east-1")):
        assert f"--region {region} " in config.lookup(host)["proxycommand"]


def test_a_percent_sign_in_a_folder_is_not_a_token() -> None:
    lines = ["Host sm-*", "    UserKnownHostsFile /100%%n/%%%n/%n"]
    section = blocks.stub_section([Stub("sm-a", "root", "")], {"sm-": {}}, lines)
    assert "    UserKnownHostsFile /100%%n/%%sm-a/sm-a\n" in section
