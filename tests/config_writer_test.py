from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.config_writer import Stub
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, paths, private_files
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import our_file
from tests.config_command import own, run
from tests.fakes import tree
from tests.ssh_config.helpers import PROGRAM

SSH = shutil.which("ssh")
needs_ssh = pytest.mark.skipif(SSH is None, reason="needs the OpenSSH client")
not_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
BOM = b"\xef\xbb\xbf"
CORPUS = {
    "empty": b"",
    "plain": b"Host a\n    User me\n",
    "no final newline": b"Host a\n    User me",
    "crlf": b"Host a\r\n    User me\r\n",
    "crlf without a final newline": b"Host a\r\n  User me",
    "lone cr": b"# old\rHost a\r",
    "bom": BOM + b"# a\nHost a\n",
    "bom crlf": BOM + b"Host a\r\n",
    "only a bom": BOM,
    "blank lines": b"\n\n\nHost a\n\n\n",
    "tabs and equals": b"Host\ta\n\tUser=me\n\tPort =\t22\n",
    "comments": b"# >>> other >>>\n# sm-proxy\n#Include ~/.ssh/sm-proxy/config\n",
    "match and include": b"Include other\nMatch host a exec true\n  User x\nHost *\n  User y\n",
    "star first": b"Host *\n  User y\nHost sm-mine\n  HostName a\n",
    "toolkit": b'Host sm_*\n  User %r\n  ProxyCommand "x" %h\n',
    "latin-1": b"# bj\xf8rn\nHost a\n",
    "utf-8": "# bjørn 日本\nHost a\n".encode(),
    "nul and odd": b"# \x00\x0b\x0c\x85\xe2\x80\xa8\nHost a\n",
    "large": b"".join(b"Host h%d\n  User u\n" % number for number in range(5_000)),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(ssh_dir=str(tmp_path / "ssh" / "sm-proxy"))


@pytest.fixture
def user_config(tmp_path: Path) -> Path:
    (tmp_path / "ssh").mkdir(mode=0o700)
    return tmp_path / "ssh" / "config"


def write(user_config: Path, settings: Settings) -> None:
    config_writer.apply(config_writer.plan(user_config, settings, PROGRAM))


def remove(user_config: Path, settings: Settings) -> None:
    config_writer.apply(config_writer.plan_removal(user_config, settings))


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_the_bytes_outside_our_marks_never_change(
    name: str, user_config: Path, settings: Settings
) -> None:
    before = CORPUS[name]
    put(user_config, before, 0o644)
    write(user_config, settings)
    once = user_config.read_bytes()
    assert once.endswith(before.removeprefix(BOM))
    assert once.startswith(BOM) is before.startswith(BOM)
    assert len(once) > len(before)
    assert stat.S_IMODE(user_config.stat().st_mode) == 0o644
    changed = user_config.stat().st_mtime_ns
    write(user_config, settings)
    assert user_config.read_bytes() == once
    assert user_config.stat().st_mtime_ns == changed
    remove(user_config, settings)
    assert user_config.read_bytes() == before
    assert stat.S_IMODE(user_config.stat().st_mode) == 0o644


def test_the_include_comes_first_with_the_files_line_ends(
    user_config: Path, settings: Settings
) -> None:
    put(user_config, CORPUS["crlf"])
    write(user_config, settings)
    lines = user_config.read_bytes().split(b"\r\n")
    assert lines[0].startswith(b"# >>> sm-proxy >>>")
    assert lines[1].startswith(b"Include ")
    assert lines[2] == b"# <<< sm-proxy <<<"
    assert b"\n" not in b"".join(lines)


def test_a_missing_config_is_created_private(user_config: Path, settings: Settings) -> None:
    write(user_config, settings)
    assert stat.S_IMODE(user_config.stat().st_mode) == 0o600
    assert stat.S_IMODE((settings.ssh_folder / "config").stat().st_mode) == 0o600
    remove(user_config, settings)
    assert not user_config.exists()
    assert not (settings.ssh_folder / "config").exists()
    remove(user_config, settings)


def test_an_empty_file_stays_after_removal(user_config: Path, settings: Settings) -> None:
    put(user_config, b"")
    write(user_config, settings)
    remove(user_config, settings)
    assert user_config.read_bytes() == b""


def test_a_file_that_we_created_and_the_user_edited_stays(
    user_config: Path, settings: Settings
) -> None:
    write(user_config, settings)
    put(user_config, user_config.read_bytes() + b"Host a\n")
    remove(user_config, settings)
    assert user_config.read_bytes() == b"Host a\n"


@pytest.mark.parametrize(
    "comment",
    [
        b"# >>> sm-proxy >>> my own notes\n",
        b"# >>> sm-proxy >>>> x\n",
        b"# >>> sm-proxy >>> (mine)\n",
        b"# <<< sm-proxy <<< and more\n",
    ],
)
def test_a_comment_that_begins_like_our_mark_is_the_users(
    comment: bytes, user_config: Path, settings: Settings
) -> None:
    put(user_config, comment + b"Host a\n")
    write(user_config, settings)
    assert user_config.read_bytes().endswith(comment + b"Host a\n")
    remove(user_config, settings)
    assert user_config.read_bytes() == comment + b"Host a\n"


def test_removing_without_a_config_changes_nothing(user_config: Path, settings: Settings) -> None:
    remove(user_config, settings)
    assert not user_config.exists()


def test_our_lines_move_to_the_top_again(user_config: Path, settings: Settings) -> None:
    write(user_config, settings)
    ours = user_config.read_bytes()
    put(user_config, b"Host a\n" + ours + b"Host b\n")
    write(user_config, settings)
    assert user_config.read_bytes() == ours + b"Host a\nHost b\n"


def test_a_symlink_stays_a_symlink(user_config: Path, settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "ssh config"
    target.parent.mkdir()
    put(target, CORPUS["plain"], 0o640)
    user_config.symlink_to(Path("..") / "dotfiles" / "ssh config")
    write(user_config, settings)
    assert user_config.is_symlink()
    assert target.read_bytes().endswith(CORPUS["plain"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    remove(user_config, settings)
    assert user_config.is_symlink()
    assert target.read_bytes() == CORPUS["plain"]


@pytest.mark.parametrize(
    ("content", "line", "what"),
    [
        ("Host a\n{begin}\nInclude x\n", 2, "never ends"),
        ("Host a\nHost b\n{end}\n", 3, "ends without a begin"),
        ("{begin}\nInclude x\n{begin}\n{end}\n", 3, "begins again"),
        ("{begin}\n{end}\n{end}\n", 3, "ends without a begin"),
        ("{begin}\r\n{end}\r\nHost a\r\n  {begin}\r\n", 4, "never ends"),
    ],
)
def test_a_missing_mark_is_refused_with_its_line(
    content: str, line: int, what: str, user_config: Path, settings: Settings
) -> None:
    before = content.format(begin=config_writer.BEGIN, end=config_writer.END).encode()
    put(user_config, before)
    for action in (write, remove):
        with pytest.raises(SmProxyError, match=what) as caught:
            action(user_config, settings)
        assert caught.value.code == "config-malformed"
        assert f"{user_config}:{line}: " in caught.value.message
        assert tree(user_config.parent) == {"config": before}


def test_a_plan_writes_nothing(user_config: Path, settings: Settings) -> None:
    put(user_config, CORPUS["latin-1"])
    changes = config_writer.plan(user_config, settings, PROGRAM)
    diff = "".join(change.diff() for change in changes)
    assert "+Host sm-*\n" in diff
    assert f'+Include "{settings.ssh_folder}/config"\n' in diff
    assert "bj\ufffdrn" in diff
    assert tree(user_config.parent) == {"config": CORPUS["latin-1"]}


def test_a_diff_of_a_file_without_a_final_newline(user_config: Path, settings: Settings) -> None:
    put(user_config, b"Host a")
    _, change = config_writer.plan(user_config, settings, PROGRAM)
    assert change.diff().endswith(" Host a\n\\ No newline at end of file\n")


def test_no_change_gives_an_empty_diff(user_config: Path, settings: Settings) -> None:
    write(user_config, settings)
    changes = config_writer.plan(user_config, settings, PROGRAM)
    assert [(change.needed, change.diff()) for change in changes] == [(False, ""), (False, "")]


def test_a_config_that_cannot_be_replaced_gets_the_line_to_add(
    user_config: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(user_config, b"Host a\n")
    real = atomic_write.exchange

    def failing(path: Path, before: bytes | None, content: bytes) -> None:
        if path == user_config:
            raise PermissionError(13, "Permission denied")
        real(path, before, content)

    monkeypatch.setattr(atomic_write, "exchange", failing)
    with pytest.raises(SmProxyError, match="Permission denied") as caught:
        write(user_config, settings)
    assert caught.value.code == "config-read-only"
    assert caught.value.hint.endswith(f'config: Include "{settings.ssh_folder}/config"')
    assert user_config.read_bytes() == b"Host a\n"
    assert (settings.ssh_folder / "config").exists()


def test_a_config_with_another_hard_link_gets_the_line_to_add(
    user_config: Path, settings: Settings, tmp_path: Path
) -> None:
    put(user_config, b"Host a\n")
    (tmp_path / "dotfiles").hardlink_to(user_config)
    with pytest.raises(SmProxyError, match="hard links") as caught:
        write(user_config, settings)
    assert caught.value.code == "config-read-only"
    put(user_config, f"{caught.value.hint.split('config: ')[1]}\n".encode() + b"Host a\n")
    write(user_config, settings)
    assert user_config.samefile(tmp_path / "dotfiles")


@not_root
def test_a_read_only_folder_is_an_error(user_config: Path, settings: Settings) -> None:
    put(user_config, b"Host a\n")
    user_config.parent.chmod(0o500)
    try:
        with pytest.raises(SmProxyError) as caught:
            write(user_config, settings)
    finally:
        user_config.parent.chmod(0o700)
    assert caught.value.code == "config-read-only"


def test_a_config_that_is_not_a_file_is_refused(user_config: Path, settings: Settings) -> None:
    user_config.mkdir()
    with pytest.raises(SmProxyError, match="cannot be read") as caught:
        write(user_config, settings)
    assert caught.value.code == "config-read-only"


def test_concurrent_writers_all_succeed(user_config: Path, settings: Settings) -> None:
    put(user_config, CORPUS["plain"])
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                with config_writer.writers_lock():
                    write(user_config, settings)
                with config_writer.writers_lock():
                    remove(user_config, settings)
        except BaseException as error:  # noqa: BLE001 - the assertion shows it
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert user_config.read_bytes() == CORPUS["plain"]


def asked(user_config: Path, host: str) -> dict[str, str]:
    """The real ssh's options for a host."""
    assert SSH is not None
    done = subprocess.run(
        [SSH, "-G", "-F", str(user_config), host], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@needs_ssh
@pytest.mark.parametrize(
    "folder", ["plain", "with space", "100%", "O'Brien", "a#b #c", "日本", "a[b]*?"]
)
def test_the_real_ssh_reads_our_block_as_intended(folder: str, tmp_path: Path) -> None:
    base = tmp_path / folder
    base.mkdir(mode=0o700)
    user_config = base / "config"
    put(user_config, b"Host other\n    User me\nHost *\n    User everyone\n    Compression no\n")
    before = asked(user_config, "other"), asked(user_config, "elsewhere")
    settings = Settings(ssh_dir=str(base / "sm-proxy"), region="eu-west-1")
    program = base / "bin" / "sm-proxy"
    write_with = config_writer.plan(user_config, settings, [str(program)])
    config_writer.apply(write_with)
    found = asked(user_config, "sm-job")
    # ssh -G does not expand %h and %n in these options.
    assert found["identityfile"].replace("%%", "%") == str(base / "sm-proxy" / "id_ed25519")
    known_hosts = found["userknownhostsfile"].replace("%%", "%")
    assert known_hosts.replace("%n", "sm-job").endswith("/known_hosts.d/sm-job")
    assert folder in known_hosts
    assert found["user"] == "root"
    assert found["stricthostkeychecking"] in {"true", "yes"}
    assert found["identitiesonly"] == "yes"
    assert found["connecttimeout"] == "960"
    assert found["compression"] == "yes"
    words = shlex.split(found["proxycommand"].replace("%%", "%"))
    assert words[:3] == [str(program), "--ssh-dir", str(base / "sm-proxy")]
    assert words[-5:] == ["connect", "--user", "%r", "%n", "%p"]
    assert (asked(user_config, "other"), asked(user_config, "elsewhere")) == before


def test_stubs_are_replaced_and_survive_a_write(dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    settings = Settings(ssh_dir=str(dot_ssh / "sm-proxy"))
    bare = own(dot_ssh)
    stubs = [Stub("sm-one", "root", "Training"), Stub("sm-two.algo-2", "me", "")]
    config_writer.apply(config_writer.plan_stubs(settings, stubs))
    assert config_writer.read_stubs(settings) == stubs
    run(dot_ssh, "write")
    assert config_writer.read_stubs(settings) == stubs
    assert (dot_ssh / "config").read_bytes().endswith(b"Host a\n")
    config_writer.apply(config_writer.plan_stubs(settings, []))
    assert own(dot_ssh) == bare


def test_check_names_an_archive_that_is_gone(
    dot_ssh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = tmp_path / "100% ours" / "sm-proxy.pyz"
    monkeypatch.setattr(our_file, "own_program", lambda: [sys.executable, "-I", str(archive)])
    run(dot_ssh, "write")
    run(dot_ssh, "check", status=1)
    assert f"program missing: '{archive}'" in capsys.readouterr().out
    archive.parent.mkdir()
    archive.touch()
    run(dot_ssh, "check")


def test_check_names_what_is_wrong(dot_ssh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(dot_ssh, "write")
    marked = (dot_ssh / "config").read_bytes()
    (dot_ssh / "config").write_bytes(b"Host a\n" + marked)
    text = own(dot_ssh)
    program = our_file.own_program()[0]
    (dot_ssh / "sm-proxy" / "config").write_text(text.replace(program, "/gone/sm-proxy"))
    capsys.readouterr()
    run(dot_ssh, "check", "--json", status=1)
    findings = json.loads(capsys.readouterr().out)["data"]["findings"]
    assert {item["what"].split(":")[0] for item in findings} == {
        *("out of date", "shadowed", "program missing"),
    }
    assert all("config write" in item["fix"] for item in findings)
    (dot_ssh / "config").write_bytes(b"# Include nothing\nHost a\n")
    run(dot_ssh, "check", status=1)
    assert "not included: " in capsys.readouterr().out
    run(dot_ssh, "write")
    run(dot_ssh, "check")


@pytest.mark.parametrize("name", ["config", "sm-proxy/config"])
def test_check_names_a_file_that_ssh_will_not_read(
    dot_ssh: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(dot_ssh, "write")
    run(dot_ssh, "check")
    (dot_ssh / name).chmod(0o664)
    capsys.readouterr()
    run(dot_ssh, "check", status=1)
    shown = f"bad permissions: others may write {dot_ssh / name}, so ssh may refuse to start"
    assert capsys.readouterr().out == f"{shown}. Run `chmod go-w {dot_ssh / name}`.\n"


def test_a_read_only_config_gets_the_line_and_then_is_left_alone(
    dot_ssh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dot_ssh / "config").chmod(0o400)
    run(dot_ssh, "write", status=1)
    shown = capsys.readouterr().err
    assert "config-read-only" in shown
    line = f'Include "{dot_ssh}/sm-proxy/config"'
    assert line in shown
    (dot_ssh / "config").chmod(0o600)
    (dot_ssh / "config").write_text(f"{line}\nHost a\n")
    (dot_ssh / "config").chmod(0o400)
    run(dot_ssh, "write")
    run(dot_ssh, "check")
    assert (dot_ssh / "config").read_text() == f"{line}\nHost a\n"


def test_backups_are_kept(dot_ssh: Path) -> None:
    run(dot_ssh, "write")
    run(dot_ssh, "remove")
    (dot_ssh / "config").write_bytes(b"Host b\n")
    run(dot_ssh, "write")
    assert atomic_write.backup_path(dot_ssh / "config", "original").read_bytes() == b"Host a\n"
    latest = atomic_write.backup_path(dot_ssh / "config", "latest")
    assert latest.read_bytes() == b"Host b\n"
    assert latest.stat().st_mode & 0o077 == 0
    run(dot_ssh, "write")
    assert latest.read_bytes() == b"Host b\n"


def test_links_are_followed_and_special_files_refused(
    dot_ssh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = dot_ssh / "config"
    config.unlink()
    config.symlink_to("config")
    run(dot_ssh, "write", status=1)
    assert "circle" in capsys.readouterr().err
    config.unlink()
    os.mkfifo(config)
    run(dot_ssh, "write", status=1)
    assert "not a regular file" in capsys.readouterr().err
    config.unlink()
    config.symlink_to("dotfiles/config")
    run(dot_ssh, "write")
    assert config.is_symlink()
    assert (dot_ssh / "dotfiles" / "config").read_text().startswith(config_writer.BEGIN)


@pytest.mark.parametrize("umask", [0, 0o77, 0o277])
def test_new_files_are_private_whatever_the_umask(umask: int, dot_ssh: Path) -> None:
    (dot_ssh / "config").unlink()
    (dot_ssh / "sm-proxy").mkdir(mode=0o700)
    private_files.ensure_private_dir(paths.state_dir())
    before = os.umask(umask)
    try:
        settings = Settings(ssh_dir=str(dot_ssh / "sm-proxy"))
        config_writer.apply(config_writer.plan(dot_ssh / "config", settings, ["/x"]))
    finally:
        os.umask(before)
    for path in (dot_ssh / "config", dot_ssh / "sm-proxy" / "config"):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["config", "."])
def test_an_immutable_file_or_folder_is_left_alone(
    name: str, dot_ssh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (dot_ssh / "sm-proxy").mkdir()
    command = ["chattr", "+i", str(dot_ssh / name)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no chattr")
    if done.returncode:
        pytest.skip("this file system, or this user, makes nothing immutable")
    try:
        run(dot_ssh, "write", status=1)
    finally:
        subprocess.run(["chattr", "-i", str(dot_ssh / name)], check=True)
    assert f'Include "{dot_ssh}/sm-proxy/config"' in capsys.readouterr().err
    assert sorted(path.name for path in dot_ssh.iterdir()) == ["config", "sm-proxy"]
    assert (dot_ssh / "config").read_bytes() == b"Host a\n"
