from __future__ import annotations

import json
from typing import TYPE_CHECKING

from .scripted_client import lab, run

if TYPE_CHECKING:
    from pathlib import Path


def test_bad_control_requests_are_answered_with_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            assert "error" in it.ask("nonsense")
            assert "error" in it.ask("start")
            assert "error" in it.ask("start", target="i", document="d", parameters=5)
            assert "error" in it.ask("faults", faults={"no": 1})
            assert "error" in it.control.answer("{")
            assert "error" in it.control.answer("[]")
            for op in ("cut", "bye", "freeze", "close", "resume"):
                assert it.ask(op, session="x") == {"error": "DoesNotExistException"}
            it.faults(resume_broken=True)
            assert "error" in it.ask("resume", session=it.start()["SessionId"])
            assert json.dumps(it.ask("list"))

    run(main())
