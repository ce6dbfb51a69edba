from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sm_proxy import cli, config_writer
from sm_proxy import settings as settings_module
from sm_proxy.config_writer import Stub
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, paths, private_files
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import blocks, our_file

SSH = shutil.which("ssh")
EU = ("--prefix", "sm-eu-")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "s").mkdir(mode=0o700)
    (tmp_path / "s" / "config").write_bytes(b"Host a\n")
    return tmp_path / "s"


def run(base: Path, *words: str, status: int = 0) -> None:
    action, *rest = words
    assert cli.main(["config", action, "--ssh-config", str(base / "config"), *rest]) == status


def own(base: Path) -> str:
    return (base / "sm-proxy" / "config").read_text()


def test_contexts_survive_and_change(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(base, "write", "--user", "ubuntu")
    run(base, "write", *EU, "--profile", "prod", "--region", "eu-west-1", "--wait", "30")
    both = own(base)
    assert both.index("Host sm-eu-*\n") < both.index("Host sm-* !sm-eu-*\n")
    assert "--profile prod --region eu-west-1 --prefix sm-eu- connect" in both
    monkeypatch.setenv("AWS_PROFILE", "another")  # of some other shell
    run(base, "write")
    run(base, "check")
    assert own(base) == both
    run(base, "write", *EU, "--region", "eu-north-1")
    assert own(base) == both.replace("eu-west-1", "eu-north-1")
    run(base, "remove", *EU)
    assert "sm-eu-" not in own(base)
    assert "User ubuntu" in own(base)
    run(base, "remove", "--prefix", "sm-")
    assert not (base / "sm-proxy" / "config").exists()
    assert (base / "config").read_bytes() == b"Host a\n"


def test_commands_by_hand_know_the_context(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(base, "write", "--region", "us-east-1")
    run(base, "write", *EU, "--profile", "prod", "--region", "eu-west-1", "--bastion", "i-1")
    flags = {"ssh_dir": str(base / "sm-proxy")}
    found = settings_module.load_for(flags, "sm-eu-job")
    assert (found.prefix, found.profile, found.region) == ("sm-eu-", "prod", "eu-west-1")
    assert found.bastion == "i-1"
    assert settings_module.load_for(flags, "sm-job").region == "us-east-1"
    assert settings_module.load_for(flags).region == "us-east-1"
    assert settings_module.load_for({**flags, "prefix": "sm-eu-"}).region == "eu-west-1"
    assert settings_module.load_for({**flags, "prefix": "sm-"}, "sm-eu-job").prefix == "sm-"
    assert settings_module.load_for({**flags, "region": "x"}, "sm-eu-job").region == "x"
    monkeypatch.setenv("AWS_REGION", "eu-south-1")
    assert settings_module.load_for(flags, "sm-eu-job").region == "eu-south-1"
    assert settings_module.load(flags).prefix == "sm-"


def test_a_record_that_is_none_is_refused(base: Path) -> None:
    run(base, "write")
    for record in ("{", "[]", '{"prefix": "a b"}', '{"region": "x"}', '{"prefix": "a", "b": 1}'):
        (base / "sm-proxy" / "config").write_text(f"\n# sm-proxy context {record}\n")
        with pytest.raises(SmProxyError, match="config:2: ") as caught:
            settings_module.load_for({"ssh_dir": str(base / "sm-proxy")}, "sm-job")
        assert caught.value.code == "config-malformed"


def test_stubs_are_replaced_and_survive_a_write(base: Path) -> None:
    run(base, "write")
    settings = Settings(ssh_dir=str(base / "sm-proxy"))
    bare = own(base)
    stubs = [Stub("sm-one", "root", "Training"), Stub("sm-two.algo-2", "me", "")]
    config_writer.apply(config_writer.planned_stubs(settings, stubs))
    assert config_writer.stubs_in(settings) == stubs
    run(base, "write")
    assert config_writer.stubs_in(settings) == stubs
    assert (base / "config").read_bytes().endswith(b"Host a\n")
    config_writer.apply(config_writer.planned_stubs(settings, []))
    assert own(base) == bare


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
def test_a_hostile_stub_is_refused(stub: Stub, base: Path) -> None:
    run(base, "write")
    with pytest.raises(SmProxyError):
        config_writer.planned_stubs(Settings(ssh_dir=str(base / "sm-proxy")), [stub])


def test_a_hostile_comment_stays_one(base: Path) -> None:
    run(base, "write")
    settings = Settings(ssh_dir=str(base / "sm-proxy"))
    comment = "x\n# <<< sm-proxy stubs <<<\nHost *\n  User evil\x1b[0m"
    config_writer.apply(config_writer.planned_stubs(settings, [Stub("sm-a", "root", comment)]))
    assert len(config_writer.stubs_in(settings)) == 1
    assert "\nHost *" not in own(base)
    assert "\x1b" not in own(base)


def test_check_names_what_is_wrong(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(base, "write")
    marked = (base / "config").read_bytes()
    (base / "config").write_bytes(b"Host a\n" + marked)
    text = own(base)
    program = our_file.own_program()[0]
    (base / "sm-proxy" / "config").write_text(text.replace(program, "/gone/sm-proxy"))
    capsys.readouterr()
    run(base, "check", "--json", status=1)
    told = json.loads(capsys.readouterr().out)["data"]["findings"]
    assert {item["what"].split(":")[0] for item in told} == {
        *("out of date", "shadowed", "program missing"),
    }
    assert all("config write" in item["fix"] for item in told)
    (base / "config").write_bytes(b"# Include nothing\nHost a\n")
    run(base, "check", status=1)
    assert "not included: " in capsys.readouterr().out
    run(base, "write")
    run(base, "check")


@pytest.mark.parametrize("name", ["config", "sm-proxy/config"])
def test_check_names_a_file_that_ssh_will_not_read(
    base: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(base, "write")
    run(base, "check")
    (base / name).chmod(0o664)
    capsys.readouterr()
    run(base, "check", status=1)
    told = f"bad permissions: others may write {base / name}, so ssh may read no config at all"
    assert capsys.readouterr().out == f"{told}. Run `chmod go-w {base / name}`.\n"


def test_control_master(base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sm_proxy.ssh_config.blocks._SUN_PATH", 500)
    run(base, "write", "--control-master")
    assert f"    ControlPath {base}/sm-proxy/cm/%r@%n:%p\n" in own(base)
    assert (base / "sm-proxy" / "cm").stat().st_mode & 0o077 == 0
    run(base, "write", "--no-control-master")
    assert "ControlMaster" not in own(base)
    monkeypatch.setattr("sm_proxy.ssh_config.blocks._SUN_PATH", 103)
    long = Settings(ssh_dir=str(tmp_path / ("x" * 60)), control_master=True)
    with pytest.raises(SmProxyError, match="room for host names"):
        config_writer.planned(base / "config", long, ["/x"])


@pytest.mark.skipif(SSH is None, reason="needs the OpenSSH client")
def test_a_name_too_long_for_a_socket_has_a_connection_of_its_own(base: Path) -> None:
    """ssh ends at once where a ControlPath is too long, so it must not get one."""
    folder = Path("/tmp") / f"{os.getpid()}"
    settings = Settings(ssh_dir=str(folder), control_master=True)
    known = {prefix: our_file.recorded_options(settings) for prefix in ("sm-", "sm-eu-", "x")}
    mine = ("sm-" + "m" * 90,)
    (base / "config").write_text(
        blocks.own_file(Settings(ssh_dir=str(folder)), known, ["false"], taken=mine)
    )
    (base / "config").chmod(0o600)
    room = 108 - 1 - len(f"{folder}/cm/root@:22") - 17  # of a name on Linux

    def ssh(*words: str) -> str:
        assert SSH is not None
        command = [SSH, "-F", str(base / "config"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    for prefix in known:
        for length in (len(prefix) + 1, 43, room - 8, room, room + 1, room + 17, room + 18, 200):
            name = prefix + "a" * (length - len(prefix))
            assert "ControlPath too long" not in ssh("-p", "65535", name, "true")
            assert ("controlpath " in ssh("-G", name)) is (length <= room - 8), length
    assert "controlpath none" not in ssh("-G", *mine)
    assert "proxycommand" not in ssh("-G", *mine)


def test_a_read_only_config_gets_the_line_and_then_is_left_alone(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "config").chmod(0o400)
    run(base, "write", status=1)
    told = capsys.readouterr().err
    assert "config-read-only" in told
    line = f'Include "{base}/sm-proxy/config"'
    assert line in told
    (base / "config").chmod(0o600)
    (base / "config").write_text(f"{line}\nHost a\n")
    (base / "config").chmod(0o400)
    run(base, "write")
    run(base, "check")
    assert (base / "config").read_text() == f"{line}\nHost a\n"


def test_backups_are_kept(base: Path) -> None:
    run(base, "write")
    run(base, "remove")
    (base / "config").write_bytes(b"Host b\n")
    run(base, "write")
    assert atomic_write.backup_path(base / "config", "original").read_bytes() == b"Host a\n"
    latest = atomic_write.backup_path(base / "config", "latest")
    assert latest.read_bytes() == b"Host b\n"
    assert latest.stat().st_mode & 0o077 == 0
    run(base, "write")
    assert latest.read_bytes() == b"Host b\n"


def test_links_and_odd_files(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = base / "config"
    config.unlink()
    config.symlink_to("config")
    run(base, "write", status=1)
    assert "circle" in capsys.readouterr().err
    config.unlink()
    os.mkfifo(config)
    run(base, "write", status=1)
    assert "no regular file" in capsys.readouterr().err
    config.unlink()
    config.symlink_to("dotfiles/config")
    run(base, "write")
    assert config.is_symlink()
    assert (base / "dotfiles" / "config").read_text().startswith(config_writer.BEGIN)


def test_a_pipe_in_place_of_our_file_holds_nobody_up(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "sm-proxy").mkdir()
    os.mkfifo(base / "sm-proxy" / "config")
    flags = {"ssh_dir": str(base / "sm-proxy")}
    assert settings_module.load_for(flags, "sm-job").prefix == "sm-"
    run(base, "write", status=1)
    assert "no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("umask", [0, 0o77, 0o277])
def test_new_files_are_private_whatever_the_umask(umask: int, base: Path) -> None:
    (base / "config").unlink()
    (base / "sm-proxy").mkdir(mode=0o700)
    private_files.private_dir(paths.state_dir())
    before = os.umask(umask)
    try:
        settings = Settings(ssh_dir=str(base / "sm-proxy"))
        config_writer.apply(config_writer.planned(base / "config", settings, ["/x"]))
    finally:
        os.umask(before)
    for path in (base / "config", base / "sm-proxy" / "config"):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["config", "."])
def test_an_immutable_file_or_folder_is_left_alone(
    name: str, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "sm-proxy").mkdir()
    command = ["chattr", "+i", str(base / name)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no chattr")
    if done.returncode:
        pytest.skip("this file system, or this user, makes nothing immutable")
    try:
        run(base, "write", status=1)
    finally:
        subprocess.run(["chattr", "-i", str(base / name)], check=True)
    assert f'Include "{base}/sm-proxy/config"' in capsys.readouterr().err
    assert sorted(path.name for path in base.iterdir()) == ["config", "sm-proxy"]
    assert (base / "config").read_bytes() == b"Host a\n"
