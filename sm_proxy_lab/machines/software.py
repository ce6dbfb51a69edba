"""The software in containers: this machine's programs or an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sm_proxy_lab.machines import rootfs, sshd_binary

_TOOLS = "lab-tools"  # below /opt in a container


@dataclass(frozen=True)
class Software:
    """The software in containers: this machine's programs or an image.

    Attributes:
        sshd: absolute path of an sshd of this machine; empty if there is an image.
        tools: folder with this sshd, to be mounted in containers; None if that is not needed.
        root: the root of the image (see `machines.rootfs`), or None for this machine's own.
    """

    sshd: str = ""
    tools: Path | None = None
    root: Path | None = None

    @property
    def binds(self) -> dict[str, str]:
        """Folders to mount below `/opt` of a container: name -> folder of this machine."""
        return {_TOOLS: str(self.tools)} if self.tools else {}

    @property
    def sshd_inside(self) -> str:
        """The path of the sshd in a container with `binds`."""
        if self.tools is None:
            return self.sshd
        return f"/opt/{_TOOLS}/{Path(self.sshd).relative_to(self.tools)}"


def find_software(
    image: str = rootfs.HOST,
    packages: Sequence[str] = (),
    on_build: Callable[[str], None] = lambda _: None,
) -> Software:
    """Find or build the containers' software; the first time may take minutes.

    Args:
        image: `rootfs.HOST`, or one of `rootfs.IMAGES`.
        packages: further Debian packages for the image.
        on_build: called with a message before a build.
    """
    if image != rootfs.HOST:
        return Software(root=rootfs.find(image, list(packages), on_build))
    sshd = sshd_binary.find_sshd()
    home = sshd_binary.cache_folder().absolute()
    return Software(sshd=sshd, tools=home if home in Path(sshd).parents else None)
