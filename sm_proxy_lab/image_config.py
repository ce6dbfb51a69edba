"""What an image's configuration says about its containers, and where the lab has their files.

An image is known by its configuration in the lab's ECR. Its labels choose the root file system:

- `sm-proxy-lab.root`: one of `rootfs.IMAGES`, or `host` for this machine's files.
- `sm-proxy-lab.packages`: further Debian packages for that root, separated by spaces.
- `sm-proxy-lab.files`: a folder on this machine, which is copied over the root; where that is this
  machine's, only its `opt`.
- `sm-proxy-lab.hide`: paths that the image does not have, separated by spaces; with
  `/usr/sbin/sshd` among them the lab does not bring an sshd of its own either.

An image that was built in the lab has folders of its own instead: its layers.

An image that ECR does not have is the lab's own: it contains `container/` and runs our entrypoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "sm-proxy-lab."
SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class ImageConfig:
    """An image's configuration.

    Attributes:
        entrypoint: ENTRYPOINT.
        cmd: CMD.
        user: USER, such as `worker`, `1000` or `1000:100`; empty for root.
        folder: WORKDIR; empty for the root folder.
        environment: ENV.
        root: name of a root file system; empty for the one that the lab was started with.
        packages: Debian packages to add to `root`.
        files: a folder on this machine that is copied over the root; empty for none.
        layers: folders on this machine that lie over the root, the uppermost last.
        hidden: paths that containers do not have.
        is_own: whether it is the lab's own image.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    folder: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    packages: tuple[str, ...] = ()
    files: str = ""
    layers: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    is_own: bool = False


def parse(document: Mapping[str, Any]) -> ImageConfig:
    """Read an image's configuration, as a registry has it.

    Args:
        document: the JSON document whose member `config` has ENTRYPOINT and so on. For an image
            that was built in the lab, its member `lab` has `root`, `layers` and `gone`.
    """
    built = document.get("lab") or {}
    config = document.get("config") or {}
    labels = config.get("Labels") or {}
    pairs = (word.partition("=") for word in config.get("Env") or ())
    return ImageConfig(
        entrypoint=tuple(config.get("Entrypoint") or ()),
        cmd=tuple(config.get("Cmd") or ()),
        user=config.get("User") or "",
        folder=config.get("WorkingDir") or "",
        environment={name: value for name, _, value in pairs},
        root=built.get("root") or labels.get(f"{LABEL}root", ""),
        packages=tuple(labels.get(f"{LABEL}packages", "").split()),
        files=labels.get(f"{LABEL}files", ""),
        layers=tuple(built.get("layers", ())),
        hidden=(
            *labels.get(f"{LABEL}hide", "").split(),
            *(f"/{name}" for name in built.get("gone", ())),
        ),
    )
