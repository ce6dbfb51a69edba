from __future__ import annotations

import re
import shutil
import socket
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError

from sm_proxy import cli
from sm_proxy.completion.scripts import SHELLS
from sm_proxy.daemon import place
from sm_proxy.editors import settings_file
from sm_proxy.identity import key_files
from sm_proxy.local import installation, paths, private_files, prompt, screen, secret_store
from sm_proxy.local.secret_store import SecretStore
from sm_proxy.ssh_config import our_file
from sm_proxy.state.cache import Cache
from sm_proxy.uninstall import folders
from tests.commands.helpers import answer

LINUX = [(["remote.SSH.remotePlatform", "sm-x"], "linux")]
USERS_FILES = {
    ".ssh/config": (b"Host build\r\n\tUser me\r\n", 0o640),
    ".ssh/id_rsa": (b"a key of the user's", 0o600),
    ".config/Code/User/settings.json": (b'{\n\t"a": 1, // one\n}\n', 0o644),
    ".bashrc": (b"alias ll='ls -l'", 0o600),
    ".aws/config": (b"[default]\nregion = eu-west-1\n", 0o600),
    "work/ssh_config": (b"Host other\n", 0o644),
}


class Ring:
    """A keyring in memory.

    Attributes:
        error: what each reading raises.
    stuck: what the removal of an entry raises, by its name.
        asked: how often it was called since.
    """

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.error: Exception | None = None
        self.stuck: dict[str, Exception] = {}
        self.asked = 0

    def get_password(self, _: str, name: str) -> str | None:
        self.asked += 1
        if self.error:
            raise self.error
        return self.items.get(name)

    def set_password(self, _: str, name: str, value: str) -> None:
        self.items[name] = value

    def delete_password(self, _: str, name: str) -> None:
        if name in self.stuck:
            raise self.stuck[name]
        del self.items[name]


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    ring = Ring()
    monkeypatch.setattr(secret_store, "_backend", lambda: ring)
    monkeypatch.setattr(secret_store, "_trouble", [])
    return ring


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with the user's own files, and none of ours."""
    home = tmp_path / "home"
    for name, (content, mode) in USERS_FILES.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    monkeypatch.setattr(paths, "ssh_home", lambda: home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    shells = ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "ZSH", "ZSH_CUSTOM", "FPATH")
    for name in ("SSH_AUTH_SOCK", "BASH_COMPLETION_USER_DIR", *shells):
        monkeypatch.delenv(name, raising=False)
    folders = {"config": ".config", "cache": ".cache", "state": ".local/state"}
    for kind, folder in folders.items():
        monkeypatch.setenv(f"SM_PROXY_{kind.upper()}_DIR", str(home / folder / "sm-proxy"))
    # Nothing outside of this home: there may be a daemon of the user who runs the tests.
    monkeypatch.setattr(place, "_folders", lambda: [str(home / "run" / "sm-proxy")])
    monkeypatch.setattr(our_file, "own_program", lambda: ["/usr/bin/sm-proxy"])
    return home


def snapshot(home: Path) -> dict[str, Any]:
    """Every file and folder with its mode and content."""
    return {
        str(path.relative_to(home)): (
            stat.S_IMODE(path.lstat().st_mode),
            path.read_bytes() if path.is_file() else None,
        )
        for path in home.rglob("*")
    }


def use(home: Path, ring: Ring) -> None:
    """Do everything that leaves something behind."""
    ours = home / ".ssh" / "config"
    for words in (
        ["config", "write"],
        ["config", "write", "--prefix", "eu-", "--region", "eu-west-1"],
        ["config", "write", "--ssh-config", str(home / "work" / "ssh_config")],
        *(["completion", "install", shell] for shell in SHELLS),
        ["keys", "show"],
        ["keys", "rotate", "--passphrase", "random"],
        ["keys", "show", "--ssh-config", str(home / "work" / "ssh_config")],
    ):
        assert cli.main(words) == 0, words
    assert b"Include" in ours.read_bytes()
    settings_file.set_values(home / ".config" / "Code" / "User" / "settings.json", LINUX)
    settings_file.set_values(home / ".config" / "Cursor" / "User" / "settings.json", LINUX)
    SecretStore(ring).save("profile 0a", "a session")
    assert len(ring.items) == 2
    Cache("jobs").save("x", record={}, expires=time.time() + 60)
    paths.config_dir().mkdir(parents=True, exist_ok=True)
    (paths.config_dir() / "config.toml").write_text('region = "eu-west-1"\n')
    assert cli.main(["resolve", "no-name-of-ours"]) == 1  # the error is kept
    known = home / ".ssh" / "sm-proxy" / "known_hosts.d"
    known.mkdir()
    (known / "sm-x").write_text("sm-x ssh-ed25519 AAAA\n")


def test_the_home_folder_is_as_it_was(
    home: Path, ring: Ring, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(home)
    use(home, ring)
    used = snapshot(home)
    capsys.readouterr()
    assert cli.main(["uninstall", "--dry-run"]) == 0
    assert snapshot(home) == used
    told = capsys.readouterr().out
    for words in (
        "our lines in",
        "for fish",
        "ssh keys",
        "keyring",
        "Cursor",
        "settings",
        "cache",
        "state",
    ):
        assert words in told
    assert str(home / "work" / "ssh_config") in told
    assert cli.main(["uninstall", "--yes", "--json"]) == 0
    found = answer(capsys)["data"]
    assert found["package"] == installation.remove()
    cursor = {str(path.relative_to(home)) for path in (home / ".config" / "Cursor").rglob("*")}
    after = snapshot(home)
    assert {name: after[name] for name in after.keys() - cursor - {".config/Cursor"}} == before
    assert not any((home / name).is_file() for name in cursor)
    assert ring.items == {}
    assert cli.main(["uninstall", "--yes"]) == 0
    assert "there is nothing to remove" in capsys.readouterr().out
    assert snapshot(home) == after


@pytest.mark.parametrize("words", [["config", "write"], ["keys", "show"]])
@pytest.mark.parametrize("was_there", [False, True])
def test_an_empty_ssh_folder_goes_only_if_we_have_made_it(
    was_there: bool, words: list[str], home: Path
) -> None:
    for path in (home / ".ssh").iterdir():
        path.unlink()
    (home / ".ssh").chmod(0o700)
    if not was_there:
        (home / ".ssh").rmdir()
    before = snapshot(home)
    assert cli.main(words) == 0
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


def test_keys_can_stay(home: Path, ring: Ring) -> None:
    use(home, ring)
    folder = home / ".ssh" / "sm-proxy"
    kept = {path.name: path.read_bytes() for path in folder.glob("id_ed25519*")}
    assert cli.main(["uninstall", "--yes", "--keep-keys"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == kept
    assert list(ring.items) == [name for name in ring.items if name.startswith("passphrase of ")]
    assert ring.items


def test_files_that_are_not_ours_stay_in_our_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SM_PROXY_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    Cache("jobs").save("x", record={}, expires=time.time() + 60)
    (paths.cache_dir() / "jobs.txt").write_text("the user's")
    (home / "linked").mkdir()
    (home / "linked" / "file").write_text("the user's")
    (paths.cache_dir() / "routes").symlink_to(home / "linked")
    assert cli.main(["uninstall", "--yes"]) == 0
    assert "(not jobs.txt)" in capsys.readouterr().out
    assert [path.name for path in paths.cache_dir().iterdir()] == ["jobs.txt"]
    assert (home / "linked" / "file").exists()


@pytest.mark.parametrize(
    ("folder", "name"), [("scratch", "models"), ("scratch", "data"), ("clones/sm-proxy", "data")]
)
def test_a_folder_that_is_shared_with_the_user_is_left_alone(
    folder: str,
    name: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """SM_PROXY_CACHE_DIR may name a folder that the user has for other things, too."""
    shared = home / folder
    (shared / name).mkdir(parents=True)
    (shared / name / "weights").write_text("the user's")
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(shared))
    Cache("jobs").save("x", record={}, expires=time.time() + 60)
    before = snapshot(shared)
    assert cli.main(["uninstall", "--yes"]) == 0
    assert f"{shared}, which has files of yours, too: ours are jobs" in capsys.readouterr().out
    assert snapshot(shared) == before


def test_a_folder_of_another_name_goes_if_all_in_it_is_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(home / "of-ours"))
    Cache("jobs").save("x", record={}, expires=time.time() + 60)
    assert cli.main(["uninstall", "--yes"]) == 0
    assert not (home / "of-ours").exists()


@pytest.mark.parametrize("cache", ["all", "all/cache"])
def test_one_folder_may_serve_for_everything(
    cache: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, only one folder may be writable."""
    before = snapshot(home)
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"SM_PROXY_{kind}_DIR", str(home / "all"))
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(home / cache))
    assert cli.main(["config", "write"]) == 0
    assert cli.main(["settings", "--set", "wait=10m"]) == 0
    Cache("jobs").save("x", record={}, expires=time.time() + 60)
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


def test_an_ssh_folder_of_an_earlier_flag_goes(home: Path) -> None:
    before = snapshot(home)
    for folder in ("one", "two"):
        assert cli.main(["config", "write", "--ssh-dir", str(home / folder)]) == 0
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


def test_a_missing_state_folder_is_not_made_again(home: Path) -> None:
    before = snapshot(home)
    assert cli.main(["config", "write"]) == 0
    assert cli.main(["completion", "install", "bash"]) == 0
    shutil.rmtree(paths.state_dir())
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


def test_what_is_left_after_an_interrupt_goes_in_the_next_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(home)
    assert cli.main(["config", "write"]) == 0

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders, "clear", interrupt)
        assert cli.main(["uninstall", "--yes"]) == 130
    assert "run `sm-proxy uninstall` again" in capsys.readouterr().err
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


def test_notes_that_are_not_whole_are_no_obstacle(home: Path) -> None:
    before = snapshot(home)
    assert cli.main(["config", "write"]) == 0
    with (paths.state_dir() / "footprint.jsonl").open("a") as file:
        for kind in ("keyring", "editor", "ssh-config", "folder"):
            file.write(f'{{"kind": "{kind}"}}\n{{"kind": "{kind}", "path": 1, "name": 2}}\n')
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


def test_removing_our_lines_is_no_use_of_the_users_folder(home: Path) -> None:
    """A removal that went half way must not make ~/.ssh a folder of ours."""
    assert cli.main(["config", "write"]) == 0
    noted = (paths.state_dir() / "footprint.jsonl").read_bytes()
    (home / ".ssh" / "config").chmod(0o440)
    assert cli.main(["uninstall", "--yes"]) == 1
    assert (paths.state_dir() / "footprint.jsonl").read_bytes() == noted


def test_the_keys_of_sshs_own_folder_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ssh" / "id_ed25519").write_text("a key of the user's")
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(home / ".ssh"))
    before = snapshot(home)
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("folder", ["", "keys", "keys/sm-proxy"])
def test_the_users_files_in_our_ssh_folder_stay(
    folder: str, used: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--ssh-dir may name a folder in which the user has files of these names."""
    named = home / folder
    (named / "cm").mkdir(parents=True, mode=0o755)
    (named / "cm" / "file").write_text("the user's")
    for name in ("id_ed25519", "id_ed25519.1"):
        pair = key_files.generate()
        private_files.write_private(named / name, pair.private)
        (named / f"{name}.pub").write_text(f"{pair.public.removesuffix(' sm-proxy')} me@laptop\n")
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(named))
    named.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(named)
        server.bind("s")
        before = snapshot(home)
        if used:
            assert cli.main(["config", "write"]) == 0
        assert cli.main(["uninstall", "--yes"]) == 0
        assert snapshot(home) == before


def test_our_keys_in_a_folder_of_another_name_go(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(home / "keys"))
    for words in (["config", "write"], ["keys", "show"], ["keys", "rotate"]):
        assert cli.main(words) == 0
    assert cli.main(["uninstall", "--yes", "--keep-keys"]) == 0
    assert len(list((home / "keys").iterdir())) == 4
    assert cli.main(["uninstall", "--yes"]) == 0
    assert not (home / "keys").exists()


def test_a_failed_part_is_reported_and_removed_by_the_next_run(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(home)
    assert cli.main(["config", "write"]) == 0
    config = home / ".ssh" / "config"
    config.chmod(0o440)
    assert cli.main(["uninstall", "--yes"]) == 1
    first = capsys.readouterr()
    assert first.err.count(f"{config} cannot be written") == 1
    assert "config-read-only" in first.err
    assert "remove the program" not in first.out
    assert cli.main(["uninstall", "--yes"]) == 1
    assert "nothing was removed" in capsys.readouterr().out
    assert not (home / ".ssh" / "sm-proxy").exists()
    assert paths.state_dir().exists()
    config.chmod(0o640)
    assert cli.main(["uninstall", "--yes"]) == 0
    assert snapshot(home) == before


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyringLocked("Failed to unlock the collection!"), "Unlock the keyring"),
        (InitError("no D-Bus"), "Repair the keyring (InitError: no D-Bus)"),
    ],
)
def test_a_keyring_that_tells_nothing_keeps_its_entries_and_the_next_run_removes_them(
    error: Exception,
    says: str,
    home: Path,
    ring: Ring,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = snapshot(home)
    for words in (["config", "write"], *[["keys", "rotate", "--passphrase", "random"]] * 3):
        assert cli.main(words) == 0
    ring.error, ring.asked = error, 0
    capsys.readouterr()
    assert cli.main(["uninstall", "--yes"]) == 1
    assert ring.asked <= 2 or says.startswith("Repair")  # each may open a window to unlock it
    shown = capsys.readouterr()
    assert says in shown.err
    assert "no-keyring: our entries stay in the keyring" in shown.err.splitlines()[-1]
    stays = shown.out[shown.out.index("what stays:") :]
    assert "our entries in this system's keyring" in stays
    assert str(paths.state_dir()) in stays
    assert ring.items
    assert not (home / ".ssh" / "sm-proxy").exists()
    ring.error = None
    assert cli.main(["uninstall", "--yes"]) == 0
    assert ring.items == {}
    assert snapshot(home) == before


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (PasswordDeleteError("not yours"), ["profile a"]),
        # Whoever has closed its window is not asked for the next one.
        (KeyringLocked("dismissed"), ["profile a", "profile b", "profile c"]),
    ],
)
def test_an_entry_that_cannot_be_removed_is_told(
    error: Exception, left: list[str], home: Path, ring: Ring, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("profile a", "profile b", "profile c"):
        SecretStore(ring).save(name, "a session")
    ring.stuck["profile a"] = error
    assert cli.main(["uninstall", "--yes"]) == 1
    assert list(ring.items) == left
    assert "no-keyring: our entries stay in the keyring" in capsys.readouterr().err
    ring.stuck.clear()
    assert cli.main(["uninstall", "--yes"]) == 0
    assert ring.items == {}


def test_keys_are_revoked_while_the_keyring_is_locked(
    home: Path, ring: Ring, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["keys", "show"], *[["keys", "rotate", "--passphrase", "random"]] * 3):
        assert cli.main(words) == 0
    ring.error, ring.asked = KeyringLocked("no"), 0
    assert cli.main(["keys", "revoke"]) == 0
    assert "a passphrase stays in the keyring (it is locked)" in capsys.readouterr().out
    assert ring.asked == 1
    assert len(list((home / ".ssh" / "sm-proxy").glob("id_ed25519*"))) == 2


def test_a_broken_settings_file_is_no_obstacle(home: Path) -> None:
    paths.config_dir().mkdir()
    (paths.config_dir() / "config.toml").write_text("regoin = [")
    assert cli.main(["uninstall", "--yes"]) == 0
    assert not paths.config_dir().exists()


def test_without_a_terminal_it_asks_for_yes(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["config", "write"]) == 0
    monkeypatch.setattr(prompt, "at_terminal", lambda: False)
    assert cli.main(["uninstall"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert (home / ".ssh" / "sm-proxy").exists()


@pytest.mark.parametrize(
    ("answers", "config_stays", "keys_stay"),
    [([False], True, True), ([True, False], False, True), ([True, True], False, False)],
)
def test_uninstall_asks_before_it_removes_and_again_for_the_keys(
    answers: list[bool],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    config_stays: bool,
    keys_stay: bool,
) -> None:
    assert cli.main(["keys", "show"]) == 0
    assert cli.main(["config", "write"]) == 0
    monkeypatch.setattr(prompt, "at_terminal", lambda: True)
    monkeypatch.setattr(prompt, "confirm", lambda _: answers.pop(0))
    capsys.readouterr()
    assert cli.main(["uninstall"]) == (1 if config_stays else 0)
    stays = capsys.readouterr().out.partition("what stays:")[2]
    assert ("our ssh keys" in stays) is (keys_stay and not config_stays)
    assert not answers
    folder = home / ".ssh" / "sm-proxy"
    assert [(folder / name).exists() for name in ("config", "id_ed25519")] == [
        config_stays,
        keys_stay,
    ]


def test_on_a_terminal_what_it_asks_about_is_broken_between_words(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", "show"]) == 0
    monkeypatch.setattr(prompt, "at_terminal", lambda: True)
    monkeypatch.setattr(prompt, "confirm", lambda _: False)
    monkeypatch.setattr(screen, "of", lambda _: screen.Screen(columns=40))
    assert cli.main(["uninstall"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "This will be removed:" in lines
    assert [line for line in lines if len(line) > 40 and " " in line.strip()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no ControlMaster")
def test_sockets_of_shared_connections_go(home: Path) -> None:
    folder = home / ".ssh" / "sm-proxy"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as gone:  # of an ssh that was killed
        gone.bind(str(folder / "root@sm-x:22"))
    assert cli.main(["uninstall", "--yes"]) == 0
    assert not folder.exists()


def test_every_name_in_our_folders_is_known() -> None:

    known = {"config": folders.SETTINGS, "cache": folders.CACHE, "state": folders.STATE}
    package = Path(cli.__file__).parent
    texts = [path.read_text() for path in package.rglob("*.py")]
    purposes = {name for text in texts for name in re.findall(r'[ =]Cache\("([\w-]+)"\)', text)}
    assert {"completion", "hosts"} <= purposes <= set(folders.CACHE)
    found = [
        (kind, name)
        for text in texts
        for kind, name in re.findall(r'(config|cache|state)_dir\(\) / f?"([\w.-]+)[{"]', text)
    ]
    assert len(found) >= 8
    assert [x for x in found if not folders.is_ours(x[1], known[x[0]])] == []
