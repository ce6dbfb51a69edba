"""Runs a program with an SDK's own Python, and writes down the requests that it sends.

    python run.py PROGRAM FILE [LINE]

PROGRAM runs as a user's script would. LINE is put in front of its last block. FILE gets each
request that creates a job, as JSON on one line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from botocore.client import BaseClient


def main() -> None:
    """Run the program."""
    program, record, *lines = sys.argv[1:]
    _record(Path(record))
    text = Path(program).read_text(encoding="utf-8")
    before, block, after = text.partition("\nif __name__")
    text = "\n".join([before, *lines, block + after])
    sys.argv = [program]
    exec(compile(text, program, "exec"), {"__name__": "__main__", "__file__": program})  # noqa: S102


def _record(path: Path) -> None:
    convert = BaseClient.__dict__["_convert_to_request_dict"]

    def spy(self: Any, api_params: dict[str, Any], operation_model: Any, **others: Any) -> Any:
        if operation_model.name in {"CreateTrainingJob", "CreateProcessingJob"}:
            line = json.dumps({"operation": operation_model.name, "request": api_params})
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        return convert(self, api_params=api_params, operation_model=operation_model, **others)

    BaseClient._convert_to_request_dict = spy  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
