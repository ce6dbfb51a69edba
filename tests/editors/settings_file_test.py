from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sm_proxy.editors import jsonc, settings_file
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, file_lock

KEYS = ["remote.SSH.remotePlatform", "sm-x"]
LINUX = [(KEYS, "linux")]


def backups(path: Path) -> list[bytes]:
    return [atomic_write.backup_path(path, which).read_bytes() for which in ("original", "latest")]


def test_bytes_mode_and_backups_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    first = b'\xef\xbb\xbf{\r\n\t"a": 1, // \xc3\xa4\r\n}\r\n'
    path.write_bytes(first)
    path.chmod(0o640)
    assert settings_file.set_values(path, LINUX).changed
    second = path.read_bytes()
    assert second == first.replace(
        b"\r\n}",
        b'\r\n\t"remote.SSH.remotePlatform": {\r\n\t\t"sm-x": "linux"\r\n\t},\r\n}',
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert backups(path) == [first, first]
    assert list(tmp_path.glob("settings*")) == [path]
    assert not settings_file.set_values(path, LINUX).changed
    assert settings_file.set_values(path, [(["a"], 2)]).changed
    assert backups(path) == [first, second]


def test_a_missing_file_is_created(tmp_path: Path) -> None:
    path = tmp_path / "Code" / "User" / "settings.json"
    assert settings_file.set_values(path, LINUX).changed
    assert jsonc.parse(path.read_text()) == {KEYS[0]: {KEYS[1]: "linux"}}
    assert [item.name for item in path.parent.iterdir()] == ["settings.json"]


def test_a_symlink_stays_a_symlink(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    link = tmp_path / "settings.json"
    link.symlink_to(real)
    assert settings_file.set_values(link, LINUX).path == real
    assert link.is_symlink()
    assert "linux" in real.read_text()


def test_a_file_with_two_hard_links_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    (tmp_path / "dotfiles.json").hardlink_to(path)
    assert "hard links" in settings_file.set_values(path, LINUX).problem
    assert path.read_text() == "{}"


@pytest.mark.parametrize("content", [b"{", b'{"a": "\xff"}', b"[]"])
def test_invalid_settings_are_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    outcome = settings_file.set_values(path, LINUX)
    assert outcome.problem
    assert not outcome.changed
    assert path.read_bytes() == content
    assert list(tmp_path.glob("settings*")) == [path]


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = settings_file.set_values(tmp_path / "file" / "settings.json", LINUX)
    assert (outcome.changed, bool(outcome.problem)) == (False, True)


def test_a_protected_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    os.mkfifo(path)
    assert "not a regular file" in settings_file.set_values(path, LINUX).problem
    path.unlink()
    path.symlink_to(path)
    assert "circle" in settings_file.set_values(path, LINUX).problem
    path.unlink()
    path.write_text("{}")
    path.chmod(0o444)
    outcome = settings_file.set_values(path, LINUX)
    assert (outcome.changed, outcome.problem) == (False, "the file is read-only")
    assert path.read_text() == "{}"


def test_another_ssh_config_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"remote.SSH.configFile": "~/other"}')
    assert settings_file.set_values(path, LINUX).config_file == "~/other"


FOREVER = """
import itertools, sys
from pathlib import Path
from sm_proxy.editors import settings_file
for number in itertools.count():
    settings_file.set_values(Path(sys.argv[1]), [(["n"], number)])
    if number == 2:
        print("going", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    filling = "// " + "x" * 200_000
    path.write_text('{\n    "n": -1 ' + filling + "\n}\n")
    for round_ in range(5):
        command = [sys.executable, "-c", FOREVER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.003 * round_)
            os.kill(process.pid, signal.SIGKILL)
        text = path.read_text()
        number = jsonc.parse(text)["n"]
        assert text == f'{{\n    "n": {number} {filling}\n}}\n'


def test_settings_locked_by_another_process_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "WRITER_S", 0)
    path = tmp_path / "settings.json"
    path.write_text("{}")
    with file_lock.locked("editor-settings"):
        outcome = settings_file.set_values(path, LINUX)
    assert (outcome.changed, path.read_text()) == (False, "{}")
    assert f"process {os.getpid()} (since " in outcome.problem


MORE = [(["remote.SSH.remotePlatform", "sm-y"], "linux"), (["remote.SSH.connectTimeout"], 960)]


@pytest.mark.parametrize("first", [None, b"{}", b'\xef\xbb\xbf{\r\n\t"a": 1, // \xc3\xa4\r\n}\r\n'])
def test_without_what_we_have_set_a_file_is_as_before(tmp_path: Path, first: bytes | None) -> None:
    path = tmp_path / "settings.json"
    if first is not None:
        path.write_bytes(first)
    for values in ([*LINUX, MORE[1]], LINUX, [MORE[0]]):
        settings_file.set_values(path, values)
    (file,) = settings_file.noted()
    assert (file.path, file.values) == (path, [*LINUX, MORE[1], MORE[0]])
    assert settings_file.restored(file, path.read_bytes()) == first


def test_later_changes_of_the_user_stay(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"a": 1}')
    settings_file.set_values(path, [*LINUX, *MORE])
    text = path.read_text().replace("960", "5").replace('"a": 1', '"a": 2')
    found = settings_file.restored(settings_file.noted()[0], text.encode())
    assert jsonc.parse((found or b"").decode()) == {"a": 2, "remote.SSH.connectTimeout": 5}


def test_a_save_of_the_editor_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"a": 1}')
    settings_file.set_values(path, LINUX)
    real, saves = settings_file.restored, ["2"]

    def restored(file: settings_file.Changed, now: bytes) -> bytes | None:
        found = real(file, now)
        if saves:
            path.write_text(path.read_text().replace('"a": 1', f'"a": {saves.pop()}'))
        return found

    monkeypatch.setattr(settings_file, "restored", restored)
    settings_file.restore(settings_file.noted()[0])
    assert jsonc.parse(path.read_text()) == {"a": 2}


def test_a_file_goes_if_it_was_not_there_and_may_be_gone(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    settings_file.set_values(path, LINUX)
    (file,) = settings_file.noted()
    settings_file.restore(file)
    assert not path.exists()
    settings_file.restore(file)


def test_nothing_is_taken_out_while_another_process_sets_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "WRITER_S", 0)
    path = tmp_path / "settings.json"
    settings_file.set_values(path, LINUX)
    before = path.read_text()
    with file_lock.locked("editor-settings"), pytest.raises(SmProxyError) as caught:
        settings_file.restore(settings_file.noted()[0])
    assert (caught.value.code, path.read_text()) == ("busy", before)
