"""TAB in the real shells, on a terminal; for `ssh` with their own completion and names of `sync`.

The program that they start for the finished line shows its words, so a test sees how the shell
reads what was inserted, and that nothing in it was run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sm_proxy.completion import scripts
from sm_proxy.completion.scripts import Shell
from tests import terminals
from tests.completion.conftest import needs
from tests.waits import read_until

pty = pytest.importorskip("pty", reason="Windows has no such terminals")

COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")
READY = {
    "bash": f"[ ! -e {BASH_COMPLETION} ] || source {BASH_COMPLETION}; "
    "bind 'set enable-bracketed-paste off'; source {script}; echo rea''dy",
    "zsh": "autoload -Uz compinit; compinit -D -u; source {script}; echo rea''dy",
    "fish": "set -g fish_complete_path $__fish_data_dir/completions; "
    "function fish_prompt; end; source {script}; echo rea''dy",
}
TYPED = {
    b"sm-proxy resol\t": b"[resolve]",
    b"./it\\'s\\ a/sm-proxy list --chec\t": b"[list][--check]",
    b"sm-proxy logs sm-n\t-f": b"[logs][sm-new][-f]",
    b"sm-proxy cp sm-l\tdata out": b"[cp][sm-lab.space:data][out]",
    b"sm-proxy list --profile a\t": b"[list][--profile][a b]",
    b"sm-proxy cp 'my f\tsm-l\tx": b"[cp][my file][sm-lab.space:x]",
    b"sm-proxy cp it\\'s\\ a/b\t": b"[cp][it's a/b-c]",
    b"sm-proxy --profile=x\t": b"[--profile=x$(touch${IFS}ran)]",
    b"sm-proxy settings --set=route=hy\t": b"[settings][--set=route=hyperpod]",
    b"sm-proxy list --profile y\t": b"[list][--profile][y`touch ran`]",
}
"""What is typed, and how the program sees it."""
TYPED_TO_SSH = {b"ssh sm-st\t": b"[sm-stub]"}
"""The shell's own completion of ssh: in bash, a package of its own has it."""
TYPED_AFTER_DASHES = {
    b"set -e\rsm-proxy launch -- sm-pro\tlist": b"[launch][--][sm-proxy][list]",
    b"sm-proxy resol\t-x": b"[resolve][-x]",
}
"""With that package, bash completes the program that we start; a failure must not end the shell."""


@contextmanager
def terminal(shell: Shell, folder: Path, path: str) -> Iterator[int]:
    """A shell on a terminal, with our script."""
    script = folder / f"script.{shell}"
    script.write_text(scripts.text(shell))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PATH": path, "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": ""}
    shell_process = subprocess.Popen(
        COMMANDS[shell], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        **terminals.controlling(theirs),  # fish starts on no other
    )  # fmt: skip
    os.close(theirs)
    try:
        os.write(ours, f"{READY[shell].format(script=script)}\r".encode())
        read_until(ours, b"ready")
        yield ours
    finally:
        shell_process.kill()
        shell_process.wait()
        os.close(ours)


@pytest.mark.usefixtures("cached", "names")
@pytest.mark.parametrize("shell", [pytest.param(name, marks=needs(name)) for name in COMMANDS])
def test_tab_completes_on_a_terminal(
    shell: Shell, home: Path, tmp_path: Path, program: str
) -> None:
    (home / ".ssh" / "sm-proxy").mkdir(parents=True)
    (home / ".ssh" / "config").write_text("Include ~/.ssh/sm-proxy/config\n")
    (home / ".ssh" / "sm-proxy" / "config").write_text("Host sm-stub\n    User root\nHost sm-*\n")
    lacks = shell == "bash" and not BASH_COMPLETION.exists()
    typed = TYPED if lacks else TYPED | TYPED_TO_SSH
    if shell == "bash" and not lacks:
        typed = typed | TYPED_AFTER_DASHES
    folder = tmp_path / "here"
    (folder / "it's a").mkdir(parents=True)
    for name in ("it's a/b-c", "my file"):
        (folder / name).touch()
    (folder / "it's a" / "sm-proxy").symlink_to(Path(program.partition(":")[0]) / "sm-proxy")
    with terminal(shell, folder, program) as shown:
        for keys, expected in typed.items():
            os.write(shown, keys + b"\r")
            read_until(shown, expected)
    assert not (folder / "ran").exists()
