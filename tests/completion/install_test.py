from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sm_proxy.completion import install, scripts
from sm_proxy.completion.scripts import SHELLS, Shell
from sm_proxy.errors import SmProxyError
from tests.completion.conftest import needs
from tests.soak import product

READS = "[ -z x ] || . /usr/share/bash-completion/bash_completion\n"


@pytest.fixture(autouse=True)
def _no_system_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only files of the home tell whether bash-completion runs."""
    own = tuple(name for name in scripts._BASH_STARTS if name.startswith("~"))
    monkeypatch.setattr(scripts, "_BASH_STARTS", own)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_fish_finds_the_script_in_its_own_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(home)
    (path,) = install.install("fish")
    assert path == home / ".config/fish/completions/sm-proxy.fish"
    assert path.read_text() == scripts.text("fish")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    assert install.install("fish") == [home / "elsewhere/fish/completions/sm-proxy.fish"]
    assert install.uninstall("fish") == [home / "elsewhere/fish/completions/sm-proxy.fish"]
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert install.uninstall("fish") == [path]
    assert files(home) == before


def test_bash_has_a_folder_if_bash_completion_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".bashrc").write_text(READS)
    before = files(home)
    (path,) = install.install("bash")
    assert path == home / ".local/share/bash-completion/completions/sm-proxy"
    monkeypatch.setenv("BASH_COMPLETION_USER_DIR", str(home / "own"))
    assert install.install("bash") == [home / "own/completions/sm-proxy"]
    assert install.uninstall("bash") == [home / "own/completions/sm-proxy", path]
    assert files(home) == before


def test_zsh_has_a_folder_if_the_environment_names_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".zfunc").mkdir()
    monkeypatch.setenv("FPATH", f"/usr/share/zsh/functions:{home / '.zfunc'}")
    assert install.install("zsh") == [home / ".zfunc/_sm-proxy"]
    install.uninstall("zsh")
    assert list((home / ".zfunc").iterdir()) == []  # the folder is the user's
    monkeypatch.delenv("FPATH")
    (home / ".oh-my-zsh" / "custom").mkdir(parents=True)
    assert install.install("zsh") == [home / ".oh-my-zsh/custom/completions/_sm-proxy"]
    install.uninstall("zsh")
    assert list((home / ".oh-my-zsh/custom").iterdir()) == []


BEFORE = (
    None,
    b"",
    b"a=1\n",
    b"a=1",
    b"a=1\n\n",
    b"\xff\xfe\n",
    b"# bash_completion\n",
    b"a\r\nb\r\n",
)
STARTUP = (("bash", ".bashrc"), ("zsh", ".zshrc"))


@pytest.mark.parametrize(("before", "startup_of"), product(BEFORE, STARTUP))
def test_a_startup_file_gets_one_line_and_its_bytes_back(
    home: Path, before: bytes | None, startup_of: tuple[Shell, str]
) -> None:
    shell, name = startup_of
    startup = home / name
    if before is not None:
        startup.write_bytes(before)
    old = files(home)
    written = install.install(shell)
    assert written[-1] == startup
    assert install.install(shell) == []
    assert install.is_current(shell)
    assert startup.read_bytes().startswith(before or b"")
    assert len(startup.read_bytes().splitlines()) == len((before or b"").splitlines()) + 1
    assert install.uninstall(shell) == [startup, written[0]]
    assert files(home) == old
    assert install.uninstall(shell) == []


def test_later_lines_of_the_user_stay(home: Path) -> None:
    startup = home / ".bashrc"
    startup.write_bytes(b"a=1")
    install.install("bash")
    startup.write_bytes(startup.read_bytes() + b"b=2\n")
    install.uninstall("bash")
    assert startup.read_bytes() == b"a=1\nb=2\n"


def test_zsh_reads_its_startup_file_where_zdotdir_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "dots").mkdir()
    monkeypatch.setenv("ZDOTDIR", str(home / "dots"))
    assert install.install("zsh")[-1] == home / "dots/.zshrc"


def test_a_linked_startup_file_stays_a_link(home: Path) -> None:
    (home / "dotfiles").write_text("a=1\n")
    (home / ".bashrc").symlink_to("dotfiles")
    install.install("bash")
    assert (home / ".bashrc").is_symlink()
    assert b"sm-proxy" in (home / "dotfiles").read_bytes()


def test_the_script_of_an_older_version_is_replaced(home: Path) -> None:
    (path,) = install.install("fish")
    path.write_text("# The completion of sm-proxy for fish, some other version\n")
    assert install.is_there("fish")
    assert not install.is_current("fish")
    assert install.install("fish") == [path]


def test_a_script_that_is_not_ours_stays(home: Path) -> None:
    path = home / ".config/fish/completions/sm-proxy.fish"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n")
    with pytest.raises(SmProxyError, match="is not from sm-proxy") as caught:
        install.install("fish")
    assert caught.value.code == "config-read-only"
    assert install.uninstall("fish") == []
    assert not install.is_there("fish")


def test_a_file_that_cannot_be_written_is_an_error(home: Path) -> None:
    (home / ".config").write_text("in the way")
    with pytest.raises(SmProxyError) as caught:
        install.install("fish")
    assert caught.value.code == "config-read-only"


def test_the_folders_that_it_has_made_go_and_the_users_stay(home: Path) -> None:
    (home / ".config").mkdir(mode=0o755)
    install.install("fish")
    install.uninstall("fish")
    assert (home / ".config").is_dir()
    assert list((home / ".config").iterdir()) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_is_known_as_ours(shell: Shell) -> None:
    assert scripts.is_ours(scripts.text(shell).encode())


@needs("bash")
def test_bash_reads_the_script_from_its_startup_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_CONFIG_DIR", str(home / "it's a folder"))
    install.install("bash")
    done = subprocess.run(
        ["bash", "--rcfile", str(home / ".bashrc"), "-ic", "complete -p sm-proxy"],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert "-F _sm_proxy sm-proxy" in done.stdout


@needs("zsh")
def test_zsh_starts_its_completion_if_the_user_has_not(home: Path) -> None:
    install.install("zsh")
    done = subprocess.run(
        ["zsh", "-ic", "print $_comps[sm-proxy]"],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert done.stdout == "_sm_proxy\n"
