"""Whether the files that a process was started from are still the same."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from sm_proxy.daemon.installed import Installed


def loaded(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of this name that was imported from this path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("A = 1\n")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    monkeypatch.setitem(sys.modules, name, importlib.util.module_from_spec(spec))
    return path


def test_an_untouched_installation_is_the_same() -> None:
    assert not Installed().has_changed()


@pytest.mark.parametrize("name", ["sm_proxy.deep.module", "another_package"])
def test_every_change_of_a_file_counts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = loaded(tmp_path / "module.py", name, monkeypatch)
    replaced = Installed()
    (tmp_path / "new").write_text("A = 1\n")
    os.utime(tmp_path / "new", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    (tmp_path / "new").replace(path)
    assert replaced.has_changed()
    edited = Installed()
    assert not edited.has_changed()
    os.utime(path, ns=(0, 0))
    assert edited.has_changed()
    removed = Installed()
    path.unlink()
    assert removed.has_changed()


def test_new_settings_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may switch the daemon off."""
    monkeypatch.setenv("SM_PROXY_CONFIG_DIR", str(tmp_path))
    without = Installed()
    assert not without.has_changed()
    (tmp_path / "config.toml").write_text('daemon_idle = "0"\n')
    assert without.has_changed()
    assert not Installed().has_changed()


@pytest.mark.parametrize("name", ["another_package.deep", "json.made_up"])
def test_the_first_file_of_a_foreign_package_is_enough(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are hundreds of others, and each connection looks."""
    path = loaded(tmp_path / "module.py", name, monkeypatch)
    found = Installed()
    path.unlink()
    assert not found.has_changed()
