from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sm_proxy.local import installation


def environment(folder: Path, *files: str, cfg: str = "") -> str:
    """A virtual environment as far as `installation` looks; returns its Python."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    folder.mkdir(exist_ok=True)
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\n{cfg}")
    return str(folder / "bin" / "python")


PIP = "lib/python3.11/site-packages/pip/__init__.py"
UV = "uv = 0.13.9\n"
KINDS = [
    (("pipx_metadata.json",), "", "pipx reinstall sm-proxy"),
    (("uv-receipt.toml",), UV, "uv tool install --reinstall sm-proxy"),
    ((PIP,), "", "{python} -m pip install --force-reinstall sm-proxy"),
    ((PIP,), UV, "{python} -m pip install --force-reinstall sm-proxy"),
    ((), UV, "uv pip --python {python} install --reinstall sm-proxy"),
    ((), "", "pip --python {python} install --force-reinstall sm-proxy"),
]


@pytest.mark.parametrize(("files", "cfg", "command"), KINDS)
def test_another_environment_is_repaired_by_what_made_it(
    files: tuple[str, ...], cfg: str, command: str, tmp_path: Path
) -> None:
    python = environment(tmp_path, *files, cfg=cfg)
    assert installation.reinstall(python) == command.format(python=python)


def test_a_python_without_environment_has_pip(tmp_path: Path) -> None:
    assert installation.kind(str(tmp_path / "bin" / "python3")) == "pip"


BOTOCORE, LAB = "botocore>1", "sm-proxy[lab]"


def comes_from(origin: dict[str, object] | None, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let this program be one that was installed from there; None: from an index."""
    info = folder / "sm_proxy-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sm-proxy\nVersion: 9\n")
    if origin:
        (info / "direct_url.json").write_text(json.dumps(origin))
    patch.syspath_prepend(str(folder))
    patch.setattr(site, "getusersitepackages", lambda: str(folder))


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        ({"url": "file:///a%20b/c", "dir_info": {}}, f"'{LAB} @ file:///a%20b/c'"),
        ({"url": "file:///a%20b", "dir_info": {"editable": True}}, "--editable '/a b[lab]'"),
        ({"url": "https://h/c.git", "vcs_info": {"vcs": "git"}}, f"'{LAB} @ git+https://h/c.git'"),
    ],
)
def test_an_extra_is_added_from_where_the_program_came(
    origin: dict[str, object], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path, "pipx_metadata.json")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    comes_from(origin, tmp_path / "site", monkeypatch)
    assert installation.add(LAB) == f"pipx install --force {wanted}"


@pytest.mark.parametrize(
    ("file", "commands"),
    [
        (
            "pipx_metadata.json",
            [
                f"pipx inject sm-proxy '{BOTOCORE}'",
                f"pipx install --force '{LAB}'",
                "pipx uninstall sm-proxy",
            ],
        ),
        (
            "uv-receipt.toml",
            [
                f"uv tool install --with '{BOTOCORE}' sm-proxy",
                f"uv tool install --force '{LAB}'",
                "uv tool uninstall sm-proxy",
            ],
        ),
        (
            PIP,
            [
                f"{sys.executable} -m pip install '{BOTOCORE}'",
                f"{sys.executable} -m pip install '{LAB}'",
                f"{sys.executable} -m pip uninstall sm-proxy",
            ],
        ),
    ],
)
def test_packages_are_added_and_removed_by_what_made_the_environment(
    file: str, commands: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path, file)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    comes_from(None, tmp_path / "site", monkeypatch)
    found = [installation.add(BOTOCORE), installation.add(LAB), installation.remove()]
    assert found == commands


def test_a_repair_uses_the_source_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path, "uv-receipt.toml")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    comes_from({"url": "file:///a"}, tmp_path / "site", monkeypatch)
    ours = "'sm-proxy @ file:///a'"
    assert installation.reinstall() == f"uv tool install --reinstall {ours}"
    assert installation.add("x>1") == f"uv tool install --with 'x>1' {ours}"


def test_a_folder_of_pip_target_loses_our_files_only(tmp_path: Path) -> None:
    """pip removes nothing from it: it skips the package, or names the folder outside."""
    target = tmp_path / "my packages"
    made = {"sm_proxy-1.dist-info": target / "sm_proxy-1.dist-info", "bin": target / "bin"}
    for folder in made.values():
        folder.mkdir(parents=True)
    (made["bin"] / "sm-proxy").touch()
    (made["sm_proxy-1.dist-info"] / "METADATA").write_text("Name: sm-proxy\nVersion: 1\n")
    (target / "sm_proxy").symlink_to(Path(__file__).parents[2] / "sm_proxy")
    ours = [str(target / name) for name in ("sm_proxy", "sm_proxy-1.dist-info", "bin/sm-proxy")]
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "from sm_proxy.local import installation as made\n"
        "print(made.remove(), made.reinstall(), made.add('rich'), sep='\\n')\n"
    )
    words = [sys.executable, "-I", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    into = f"{sys.executable} -m pip install --target '{target}'"
    removed = "rm -r " + " ".join(f"'{path}'" for path in ours)
    assert done.stdout.splitlines() == [
        removed,
        f"{into} --upgrade sm-proxy",
        f"{into} rich",
    ]


def test_a_zipapp_is_known_by_the_file_that_python_was_given(tmp_path: Path) -> None:
    app = tmp_path / "app.pyz"
    with zipfile.ZipFile(app, "w") as made:
        made.writestr(
            "__main__.py",
            f"import sys; sys.path.insert(0, {os.fspath(Path(__file__).parents[2])!r})\n"
            "import sm_proxy.__main__\n"
            "from sm_proxy.local import installation\n"
            "print(installation.archive(), installation.remove(), sep='\\n')\n",
        )
    words = [sys.executable, "-I", "app.pyz", "list"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == [str(app), f"rm {app}"]
