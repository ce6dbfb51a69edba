"""What docker's daemon keeps during one build of CodeBuild: images and logins."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sm_proxy_lab.image_build.layers import LayerStore, root_layer


@dataclass
class Image:
    """An image.

    Attributes:
        config: Env, Entrypoint, Cmd, User, WorkingDir, Labels, ...
        root: the lab's root file system below its layers; empty for none.
        layers: the digests of its own layers, the uppermost last.
        history: the commands that made it.
        digests: repository -> digest of the manifest that was pushed there or pulled from there.
    """

    config: dict[str, Any] = field(default_factory=dict)
    root: str = ""
    layers: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    def document(self) -> bytes:
        """The image's config, as a registry stores it."""
        below = [root_layer(self.root).digest] if self.root else []
        content = {
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "history": [{"created_by": line} for line in self.history],
            "rootfs": {"type": "layers", "diff_ids": [*below, *self.layers]},
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()

    @property
    def id(self) -> str:
        """The digest of its config."""
        return f"sha256:{hashlib.sha256(self.document()).hexdigest()}"


@dataclass(frozen=True)
class Daemon:
    """The place of a build's images.

    Attributes:
        folder: for the daemon's files, of this build alone.
        store: the layers of all builds.
        endpoint: URL of the lab's AWS endpoint.
        privileged: whether the build may use docker.
    """

    folder: Path
    store: LayerStore
    endpoint: str
    privileged: bool

    @classmethod
    def read(cls, file: str) -> Daemon:
        """Read what the lab has written for a build."""
        told = json.loads(Path(file).read_text(encoding="utf-8"))
        # The layers lie on the lab's root file systems: those of the user who runs the lab.
        os.environ["SM_PROXY_LAB_TOOLS"] = told["tools"]
        folder = Path(told["folder"])
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = LayerStore(Path(told["layers"]))
        return cls(folder, store, told["endpoint"], told["privileged"])

    @property
    def _file(self) -> Path:
        return self.folder / "images.json"

    def images(self) -> dict[str, Image]:
        """Name -> image."""
        if not self._file.exists():
            return {}
        found = json.loads(self._file.read_text(encoding="utf-8"))
        return {name: Image(**image) for name, image in found.items()}

    def keep(self, name: str, image: Image) -> None:
        """Keep an image under a name."""
        found = {**self.images(), name: image}
        text = json.dumps({each: asdict(image) for each, image in found.items()})
        self._file.write_text(text, encoding="utf-8")


def logins() -> Path:
    """The file where `docker login` keeps passwords."""
    home = os.environ.get("HOME", "/root")
    return Path(os.environ.get("DOCKER_CONFIG", f"{home}/.docker")) / "config.json"


def is_logged_in(host: str) -> bool:
    """Whether there is a password for a registry."""
    try:
        return host in json.loads(logins().read_text(encoding="utf-8"))["auths"]
    except (OSError, ValueError, KeyError):
        return False


def log_in(host: str, user: str, password: str) -> None:
    """Keep a password."""
    file = logins()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    known = json.loads(file.read_text(encoding="utf-8"))["auths"] if file.exists() else {}
    known[host] = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    file.write_text(json.dumps({"auths": known}), encoding="utf-8")
    file.chmod(0o600)
