"""Editors."""

from __future__ import annotations

import socket
import subprocess

from tests.e2e.clients.client import Client, NotRun
from tests.e2e.clients.desk import Desk

_TRAMP = """
(setq make-backup-files nil)
(let* ((place (getenv "PLACE")) (default-directory (format "/ssh:%s/" place)))
  (find-file "note.txt")
  (goto-char (point-max))
  (insert "two\\n")
  (save-buffer)
  (princ (shell-command-to-string "cat note.txt; echo in $PWD"))
  (princ (vc-backend (expand-file-name "note.txt")))
  (copy-file "/etc/hostname" (format "/scp:%s/copied" place)))
"""
_SERVER = """
import os, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    with server.accept()[0] as asked:
        asked.recv(9999)
        asked.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + os.getcwd().encode())
"""
_NETRW = "runtime plugin/netrwPlugin.vim"


def _tramp(desk: Desk) -> None:
    """Edit a file, run a command beside it, and copy another one by the method scp."""
    desk.inside("echo one >note.txt")
    desk.write("tramp.el", _TRAMP.encode())
    said = desk.run(
        *("emacs", "-Q", "--batch", "-l", "tramp.el"),
        env={"PLACE": f"{desk.host}:{desk.there}"}, timeout=120,
    )  # fmt: skip
    assert f"one\ntwo\nin {desk.there}\n" in said
    assert desk.inside("cat note.txt; cat copied") == f"one\ntwo\n{socket.gethostname()}"


def _netrw(desk: Desk) -> None:
    desk.inside("echo one >note.txt")
    edit = f"edit scp://{desk.host}/{desk.there}/note.txt"
    commands = (_NETRW, edit, 'call append("$", "two")', "write", "qa!")
    words = [word for command in commands for word in ("-c", command)]
    desk.run("vim", "-N", "-u", "NONE", "-i", "NONE", "-es", *words)
    assert desk.inside("cat note.txt") == "one\ntwo"


def _vscode(desk: Desk) -> None:
    """A script on stdin starts a server in the container, which is asked through a SOCKS port."""
    port = desk.free_port()
    words = ("ssh", "-T", "-D", str(port), "-o", "ConnectTimeout=15", desk.host, "sh")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with desk.popen(*words, **pipes) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"cd {desk.there} && exec python3 -c '{_SERVER}'\n".encode())
            process.stdin.flush()
            inside = int(process.stdout.readline())
            proxy = ("--socks5-hostname", f"127.0.0.1:{port}")
            said = desk.run("curl", "-sS", "--noproxy", "", *proxy, f"http://127.0.0.1:{inside}/")
        finally:
            process.terminate()
    assert said == desk.there


CLIENTS = (
    Client(
        "Emacs, TRAMP", "`/ssh:`: edit and save a file, run a command; `/scp:`: copy", _tramp,
        ("emacs", "--version"), package="emacs-nox",
    ),
    Client(
        "Vim, netrw", "`scp://`: edit and save a file", _netrw, ("vim", "--version"),
        needs=("sftp",), package="vim",
    ),
    Client(
        "ssh, as VS Code starts it", "a script on stdin starts a server; asked through `-D`",
        _vscode, ("ssh", "-V"), needs=("python3",),
    ),
)  # fmt: skip
NOT_RUN = (
    NotRun("VS Code", "its list of hosts (ssh-config), its ssh, and the command that opens it"),
    NotRun("Cursor, Windsurf, VSCodium, Positron", "as VS Code; `sm-proxy vscode` finds each"),
    NotRun("JetBrains Gateway", "nothing: it has an ssh library of its own"),
    NotRun("Zed", "nothing: it starts ssh, as the programs above do"),
)
