"""The entrypoint in a job's input channel: no executable bit, a folder that may be read-only."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from sm_proxy.launch import channel
from tests.soak import cases

from .conftest import KEY, SHELLS, Box, marker_of, needs_container, until_ready, wait_for
from .servers_test import ASYNCSSH, DROPBEAR, PYTHON, Laptop, new_key

FOLDER = channel.TRAINING_PATH
ENTRYPOINT = f"{FOLDER}/{channel.ENTRYPOINT}"
_READ_ONLY = f"mount --bind {FOLDER} {FOLDER} && mount -o remount,bind,ro {FOLDER}"
_IN_SHELLS = [("sh", "dash"), ("sh", "bash --posix"), ("busybox", "sh"), ("sh", "bash")]
"""The container's small tools, and the shell that runs the entrypoint there."""


def bring(box: Box, files: dict[str, bytes] | None = None) -> None:
    """Put a channel into the container, as SageMaker's File mode does, and leave no other copy."""
    made = channel.container_channel("s3://bucket/prefix", {})
    for name, content in {**made.files, **(files or {})}.items():
        file = box.root / FOLDER.lstrip("/") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o644)
    for file in (box.root / "opt/sm-proxy").glob("*.*"):
        if file.name != "entrypoint.sh":
            file.unlink()


@needs_container
@pytest.mark.parametrize(("box", "shell"), cases(_IN_SHELLS, _IN_SHELLS[:3]), indirect=["box"])
def test_the_program_runs_and_ssh_works_from_a_read_only_folder(box: Box, shell: str) -> None:
    bring(box)
    box.prelude = _READ_ONLY
    words = ["it's", "", "two\nlines\n", "train"]
    script = f'{until_ready(box)}; printf "<%s>" "$@"; exit 7'
    code, lines = box.run_directly(
        [*shell.split(), ENTRYPOINT, "sh", "-c", script, "sh", *words], SM_PROXY_AUTHORIZED_KEY=KEY
    )
    assert code == 7
    assert "<it's><><two\nlines\n><train>" in "\n".join(lines)
    assert marker_of(lines)["problems"] == []
    assert marker_of(lines)["port"]


@needs_container
@pytest.mark.skipif(not DROPBEAR, reason="needs dropbear")
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_users_get_in_after_the_program_has_removed_the_channel(box: Box, tmp_path: Path) -> None:
    bring(box)
    key = new_key(tmp_path / "key")
    script = f"{until_ready(box)}; rm -r {FOLDER}; : >/opt/ml/removed; exec sleep 600"
    box.start_directly(
        ["sh", ENTRYPOINT, "sh", "-c", script],
        SM_PROXY_SSHD=str(DROPBEAR),
        SM_PROXY_AUTHORIZED_KEY=Path(f"{key}.pub").read_text(encoding="utf-8"),
    )
    wait_for(box.root / "opt/ml/removed")
    done = Laptop(box, key).ssh("echo $SM_PROXY_RUN_DIR; exit 3")
    assert (done.returncode, done.stdout) == (3, b"/opt/ml/run\n"), done.stderr


@pytest.mark.parametrize("box", cases(SHELLS, ["busybox"]), indirect=True)
@needs_container
def test_a_long_command_comes_from_a_file(box: Box) -> None:
    words = ["printf", "<%s>", "x" * 5000, "it's", "", "-", "two\nlines\n", "\u00fc"]
    words += [str(number) for number in range(200)]
    bring(box, {channel.ARGV: channel.argv_file(words)})
    file = f"{FOLDER}/{channel.ARGV}"
    code, lines = box.run_directly(["sh", ENTRYPOINT, channel.ARGV_OPTION, file])
    assert code == 0
    assert "".join(f"<{word}>" for word in words[2:]) in "\n".join(lines)


@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_a_command_that_cannot_be_read_ends_the_job(box: Box) -> None:
    for given in ([], ["/no/such/file"]):
        code, lines = box.run(channel.ARGV_OPTION, *given)
        assert code == 127
        name = "/no/such/file" if given else "a file without a name"
        assert f"sm-proxy: the program's command cannot be read from {name}" in lines


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_another_user_than_root_runs_it(box: Box) -> None:
    bring(box)
    user = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    box.prelude = "chmod 1777 /opt/ml"
    script = f"{until_ready(box)}; id -u; exit 7"
    code, lines = box.run_directly(
        [*user, "sh", ENTRYPOINT, "sh", "-c", script],
        SM_PROXY_SSHD=PYTHON,
        SM_PROXY_AUTHORIZED_KEY=KEY,
    )
    assert code == 7
    assert "12345" in lines
    assert marker_of(lines)["port"] == (2222 if ASYNCSSH else 0)


def until_failed(box: Box) -> str:
    return f"while [ ! -e {box.inside('opt/ml/run/failed')} ]; do sleep 0.1; done"


def wheel(*parts: Path) -> bytes:
    """These modules and packages as a wheel."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for part in parts:
            for file in [part] if part.is_file() else sorted(part.rglob("*")):
                if file.is_file() and file.suffix != ".pyc":
                    archive.write(file, file.relative_to(part.parent).as_posix())
    return content.getvalue()


def locked(content: bytes, **changes: object) -> bytes:
    """A lock for this one wheel and the system's Python."""
    script = (
        "import platform, sys; print('%d.%d' % sys.version_info[:2]); print(platform.machine())"
    )
    done = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, check=True)
    version, machine = done.stdout.split()
    row = {
        "file": "a.whl",
        "sha256": hashlib.sha256(content).hexdigest(),
        "pythons": [version],
        "targets": [f"{machine}-glibc", f"{machine}-musl"],
    }
    return json.dumps([{**row, **changes}]).encode()


@pytest.fixture(scope="module")
def asyncssh() -> bytes:
    """The asyncssh of this machine as a wheel, with what it needs."""
    names = ("asyncssh", "cryptography", "_cffi_backend", "typing_extensions")
    script = (
        f"import {', '.join(names)}; print(*(m.__file__ for m in ({', '.join(names)})), sep='\\n')"
    )
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    files = map(Path, done.stdout.split())
    return wheel(*(file.parent if file.name == "__init__.py" else file for file in files))


def bare_python(box: Box) -> str:
    """The system's Python, without the packages that the system has installed."""
    return box.add_program("python3", f'exec {PYTHON} -S "$@"')


@needs_container
@pytest.mark.skipif(not ASYNCSSH, reason="needs asyncssh")
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_an_image_without_a_server_gets_one_in_python(
    box: Box, tmp_path: Path, asyncssh: bytes
) -> None:
    bring(box, {"wheels/a.whl": asyncssh, "wheels/wheels.json": locked(asyncssh)})
    box.prelude = _READ_ONLY
    key = new_key(tmp_path / "key")
    public = Path(f"{key}.pub").read_text(encoding="utf-8")
    process = box.start_directly(
        ["sh", ENTRYPOINT, "sleep", "600"],
        SM_PROXY_SSHD=bare_python(box),
        SM_PROXY_AUTHORIZED_KEY=public,
        PYTHONPATH="/job/path",
    )
    wait_for(box.run_dir / "ready")
    marker = json.loads((box.run_dir / "marker").read_text(encoding="utf-8"))
    assert "python" in marker["features"]
    assert marker["problems"] == []
    done = Laptop(box, key).ssh('echo "$PYTHONPATH"; exit 3')
    assert (done.returncode, done.stdout) == (3, b"/job/path\n"), done.stderr
    assert process.poll() is None


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "code", "problem"),
    [
        ({"sha256": "0" * 64}, "", f"{FOLDER}/wheels/a.whl is damaged"),
        ({"file": "b.whl"}, "", "No such file or directory: '"),
        ({"pythons": ["2.7"]}, "", "the job's channel has no SSH server for CPython 3."),
        ({"targets": ["riscv64-glibc"]}, "", "the job's channel has no SSH server for CPython 3."),
        ({}, "raise ImportError('it; needs more')", "ImportError: it, needs more"),
        (
            {},
            "raise ImportError('a.so: failed to map segment from shared object')",
            "a.so: failed to map segment from shared object (set SM_PROXY_RUN_DIR to a folder",
        ),
    ],
)
def test_the_marker_says_why_the_wheels_do_not_serve(
    box: Box, tmp_path: Path, changes: dict[str, object], code: str, problem: str
) -> None:
    module = tmp_path / "asyncssh.py"
    module.write_text(code, encoding="utf-8")
    content = wheel(module)
    bring(box, {"wheels/a.whl": content, "wheels/wheels.json": locked(content, **changes)})
    python = bare_python(box)
    _, lines = box.run_directly(
        ["sh", ENTRYPOINT, "sh", "-c", until_failed(box)],
        SM_PROXY_SSHD=python,
        SM_PROXY_AUTHORIZED_KEY=KEY,
    )
    problems = marker_of(lines)["problems"]
    assert [text for text in problems if text.startswith(f"{python}: ") and problem in text]
    assert "no sshd in this image: install openssh-server" in problems
    assert not (box.run_dir / "wheels").exists()


@needs_container
@pytest.mark.parametrize("box", ["sh"], indirect=True)
def test_the_marker_says_that_an_image_has_no_python(box: Box) -> None:
    bring(box, {"wheels/wheels.json": b"[]"})
    _, lines = box.run_directly(
        ["sh", ENTRYPOINT, "sh", "-c", until_failed(box)],
        SM_PROXY_SSHD="/no/python3",
        SM_PROXY_AUTHORIZED_KEY=KEY,
    )
    problem = "no Python in this image to run the SSH server of the job's channel"
    assert problem in marker_of(lines)["problems"]
