"""Builds an image from a Dockerfile: its stages, and the images they begin with."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.image_build import dockerfile, names
from sm_proxy_lab.image_build.daemon import Daemon, Image, is_logged_in
from sm_proxy_lab.image_build.dockerfile import Instruction
from sm_proxy_lab.image_build.ecr import CallError, Registry
from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.ignore import Context
from sm_proxy_lab.image_build.names import ImageName
from sm_proxy_lab.image_build.progress import Progress
from sm_proxy_lab.image_build.stage import PATH, Stage
from sm_proxy_lab.image_build.tree import Tree
from sm_proxy_lab.image_build.variables import expand
from sm_proxy_lab.machines import rootfs

_DEBIAN: Final = "debian"
_SCRATCH: Final = "scratch"


@dataclass(frozen=True)
class _Section:
    """The instructions of one stage."""

    origin: Instruction
    base: str
    name: str
    instructions: list[Instruction]


@dataclass
class Builder:
    """Builds one image.

    Attributes:
        daemon: keeps images.
        context: what COPY reads.
        given: the values of `--build-arg`.
        progress: shows the steps.
        mounts: whether overlays and namespaces are permitted.
    """

    daemon: Daemon
    context: Context
    given: Mapping[str, str]
    progress: Progress = field(default_factory=Progress)
    mounts: bool = True
    _stages: dict[int, Stage] = field(default_factory=dict)
    _pulled: dict[str, Image] = field(default_factory=dict)

    def build(self, text: str, target: str = "") -> Image:
        """Build the stage `target`, or the last one.

        Raises:
            DockerError: the build fails.
        """
        self._folder = Path(tempfile.mkdtemp(dir=self.daemon.folder, prefix="build-"))
        self._before: dict[str, str] = {}
        self._sections = self._read(dockerfile.parse(text))
        index = len(self._sections) - 1
        if target:
            index = self._index(target, index + 1)
            if index < 0:
                raise DockerError(f"target stage {target!r} could not be found")
        stage = self._stage(index)
        self.progress.step("exporting to image")
        layer = stage.tree.save()
        image = stage.image
        image.layers = [*(image.layers if self.mounts else ()), layer.digest]
        self.progress.say(f"writing image {image.id} done")
        self.progress.done()
        return image

    def _read(self, instructions: list[Instruction]) -> list[_Section]:
        sections: list[_Section] = []
        for each in instructions:
            if each.keyword == "FROM":
                words = [expand(word, self._before) for word in each.text.split()]
                is_named = len(words) == 3 and words[1].upper() == "AS"
                if not words[0] or not (len(words) == 1 or is_named):
                    message = f"base name ({each.text}) should not be blank"
                    raise DockerError(message, each.line)
                names = [section.name for section in sections]
                name = dockerfile.stage_name(words[2], names, each.line) if is_named else ""
                sections.append(_Section(each, words[0], name, []))
            elif sections:
                sections[-1].instructions.append(each)
            else:  # an ARG before the first FROM
                for name, default in dockerfile.pairs(each):
                    self._before[name] = self.given.get(name, expand(default, self._before))
        return sections

    def _index(self, name: str, before: int) -> int:
        """The stage of that name or number, among those before one; -1 if there is none."""
        for index in reversed(range(before)):
            if name.lower() == self._sections[index].name or name == str(index):
                return index
        return -1

    def _stage(self, index: int) -> Stage:
        """Build a stage, once."""
        if index not in self._stages:
            self._stages[index] = self._build_stage(index)
        return self._stages[index]

    def _build_stage(self, index: int) -> Stage:
        section = self._sections[index]
        below = self._index(section.base, index)
        image = self._image_of_stage(below) if below >= 0 else self._base(section)
        stage = Stage(
            self._tree(image),
            image,
            self.context,
            lambda name: self._other(name, index),
            self.given,
            self._before,
            self.progress,
            self._folder / "stand-ins",
            # What the stage below has declared counts here, too ("Scope" in the reference).
            arguments=dict(self._stage(below).arguments) if below >= 0 else {},
            shell=tuple(image.config.get("Shell") or ("/bin/sh", "-c")),
        )
        count = len(section.instructions)
        label = f"{section.name} " if section.name else ""
        for number, each in enumerate(section.instructions, 1):
            self.progress.step(f"[{label}{number}/{count}] {each.shown}")
            try:
                stage.apply(each)
            except DockerError as error:
                error.line = error.line or each.line
                self.progress.failed(str(error))
                raise
            self.progress.done()
        return stage

    def _tree(self, image: Image) -> Tree:
        base = None
        if self.mounts and image.root:
            try:
                base = rootfs.find(image.root, [], self.progress.note)
            except LabError as error:
                raise DockerError(f"lab: {error}") from None
        return Tree(self.daemon.store, self._folder, base, image.layers, mounts=self.mounts)

    def _image_of_stage(self, index: int) -> Image:
        """The image that a stage has become, for another one on it."""
        stage = self._stage(index)
        image = copy.deepcopy(stage.image)
        layer = stage.tree.save()
        image.layers = [*(image.layers if self.mounts else ()), layer.digest]
        return image

    def _other(self, name: str, before: int) -> Context:
        """The files of another stage or image."""
        index = self._index(name, before)
        if index >= 0:
            return Context(self._stage(index).tree.root)
        return Context(self._tree(self._find(names.parse(name))).root)

    def _base(self, section: _Section) -> Image:
        """The image that FROM names."""
        if section.base == _SCRATCH:
            return Image({"Env": [f"PATH={PATH}"]})
        name = names.parse(section.base)
        self.progress.step(f"[internal] load metadata for {name}")
        try:
            image = copy.deepcopy(self._find(name))
        except DockerError as error:
            error.line = section.origin.line
            self.progress.failed(str(error))
            raise
        self.progress.done()
        return image

    def _find(self, name: ImageName) -> Image:
        """The image of that name: built here, in the lab's ECR, or a public one.

        Raises:
            DockerError: there is none, or it may not be read.
        """
        known = {**self.daemon.images(), **self._pulled}.get(str(name))
        if known is None:
            known = self._pulled[str(name)] = self._pull(name)
        return known

    def _pull(self, name: ImageName) -> Image:
        if name.is_public:
            self.progress.note(f"{name} is public: the lab's Debian root stands in for it")
            return Image({"Env": [f"PATH={PATH}"], "Cmd": ["/bin/bash"]}, _DEBIAN)
        denied = (
            f"failed to resolve source metadata for {name}: pull access denied, repository does "
            "not exist or may require authorization: "
        )
        if name.ecr is None:
            raise DockerError(f"{name}: {denied}server message: insufficient_scope: no such host")
        if not is_logged_in(name.host):
            raise DockerError(f"{name}: {denied}authorization failed: no basic auth credentials")
        try:
            image = Registry.of(self.daemon, name).pull()
        except CallError as error:
            raise DockerError(_refused(name, error)) from None
        if image is None:
            raise DockerError(
                f"{name}: failed to resolve source metadata for {name}: {name}: not found"
            )
        return image


def _refused(name: ImageName, error: CallError) -> str:
    head = f"{name}: failed to resolve source metadata for {name}: "
    if error.code == "RepositoryNotFoundException":
        return f"{head}{name}: not found"
    where = f"https://{name.host}/v2/{name.path}/manifests/{name.tag or name.digest}"
    if "not authorized" in str(error):
        return f"{head}unexpected status from HEAD request to {where}: 403 Forbidden"
    return f"{head}unexpected status from HEAD request to {where}: {error.status}: {error}"
