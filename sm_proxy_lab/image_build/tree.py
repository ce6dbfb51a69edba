"""The files of an image while it is built.

Where mounts are permitted, they are an overlay on the lab's root file system and the layers of the
base image, in memory and only in this process's mount namespace. Elsewhere they are a plain folder
without the root: programs of the image cannot run there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sm_proxy_lab.image_build.layers import Layer, LayerStore
from sm_proxy_lab.image_build.paths import inside
from sm_proxy_lab.machines import image_root, namespaces


def may_mount() -> bool:
    """Whether this process may mount overlays and start programs in namespaces of their own."""
    isolates = os.geteuid() == 0 and namespaces.may_isolate(
        namespaces.CONTAINER | namespaces.CLONE_NEWNET
    )
    return isolates and image_root.may_overlay()


def enter_own_mounts() -> None:
    """Make the mounts of this process invisible to all others."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    namespaces.make_mounts_private()


class Tree:
    """The files of one stage.

    Attributes:
        root: the folder where they are.
        runs: whether programs can be started in it.
    """

    def __init__(
        self, store: LayerStore, folder: Path, base: Path | None, layers: list[str], *, mounts: bool
    ) -> None:
        """Make the tree of a base image.

        Args:
            store: has the layers.
            folder: for the work.
            base: the root file system below; None for an empty one.
            layers: digests of the layers on it, the uppermost last.
            mounts: use an overlay.
        """
        self._store = store
        self.runs = mounts
        work = Path(tempfile.mkdtemp(dir=folder, prefix="stage-"))
        found = [files for digest in layers if (files := store.files(digest))]
        if not mounts:
            self.root = self._upper = work
            self._below: Path | None = None
            for files in found:
                shutil.copytree(files, work, symlinks=True, dirs_exist_ok=True)
            return
        empty, other = work / "empty", work / "other"  # an overlay has two layers below or more
        empty.mkdir()
        other.mkdir()
        lowers = [*reversed(found), base or empty]
        memory = work / "memory"
        memory.mkdir()
        self._below = image_root.mount_lowers([*lowers, other], work / "below")
        self.root = image_root.mount_overlay(lowers, memory)
        self._upper = memory / "upper"
        for name in store.gone(layers[-1]) if layers else ():
            remove(inside(self.root, name, follow_last=False))

    def save(self) -> Layer:
        """Keep what was changed as a layer."""
        return self._store.save(self._upper, self._below)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
