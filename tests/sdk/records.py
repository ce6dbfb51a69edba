"""Requests that the SDKs have sent, and what they have put into S3 for them.

`script/test sdk` compares them with what the SDKs send today; with SM_PROXY_RECORD=1 it writes them
anew. The default tests run on them. Times and random parts of names are replaced. The driver
scripts in them are part of `sagemaker`, which has our licence.
"""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "sdk_records"
NAMES: Final = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
BUCKET: Final = "sm-proxy-lab"
_TIME: Final = re.compile(r"-20\d{2}(?:-\d\d){5}-\d{3}(?:-[a-z0-9]{6})?|-20\d{12}")
_NOW: Final = "-2026-01-02-03-04-05-678"
_VPC_IDS: Final = re.compile(r"\b(subnet|sg|vpc)-[0-9a-f]{8,17}\b")
_TAR: Final = ".tar.gz"
_SOURCE: Final = str(Path(__file__).parent / "programs")


@dataclass(frozen=True)
class Record:
    """One request, and the objects below the job's name in the bucket.

    Attributes:
        operation: of the request.
        request: as the SDK has sent it.
        objects: the content of each object by its key; of an archive, of each of its files.
    """

    operation: Any
    request: dict[str, Any]
    objects: dict[str, Any]

    def save(self, program: str) -> None:
        """Write it to its file."""
        text = json.dumps(self.__dict__, indent=1, sort_keys=True)
        (FOLDER / f"{program}.json").write_text(text + "\n", encoding="utf-8")

    def contents(self) -> dict[str, bytes]:
        """The objects as they lie in S3."""
        return {key: _packed(value) for key, value in self.objects.items()}

    def renamed(self, old: str, new: str) -> Record:
        """The same with another text in the place of each `old`: a name, for example."""
        return Record(**json.loads(json.dumps(self.__dict__).replace(old, new)))


def load(program: str) -> Record:
    """The record of one program."""
    return Record(**json.loads((FOLDER / f"{program}.json").read_text(encoding="utf-8")))


def of(operation: str, request: dict[str, Any], objects: dict[str, bytes]) -> Record:
    """A record without times and other random parts."""
    # An SDK also uploads what Python has compiled of its drivers.
    sources = {key: content for key, content in objects.items() if "/__pycache__/" not in key}
    packed = {key: _unpacked(key, content) for key, content in sources.items()}
    text = json.dumps({"operation": operation, "request": request, "objects": packed})
    text = text.replace(_SOURCE, "/home/me")
    text = _VPC_IDS.sub(r"\1-0123456789abcdef0", _TIME.sub(_NOW, text))
    return Record(**json.loads(text))


def _unpacked(key: str, content: bytes) -> Any:
    if key.endswith(_TAR):
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            files = [(member.name, archive.extractfile(member)) for member in members]
            return {name: file.read().decode() for name, file in files if file}
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _packed(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if "base64" in value:
        return base64.b64decode(value["base64"])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in sorted(value.items()):
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()
