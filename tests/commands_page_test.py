from __future__ import annotations

import runpy
from pathlib import Path

from sm_proxy.help.described import Command, Group, Row

PAGE = runpy.run_path(str(Path(__file__).parents[1] / "script" / "commands_page.py"))
ROOT = Command("prog", (), "", (), (Group("every day", (Row("do", "do it"),)),), "")
DO = Command(
    "prog do", ("prog do FILE", "prog do -- CMD"), "Does it.", (("prog do x", "now"),), (
        Group("options", (Row("--to A|B", "such as <job>"),)),
        Group("settings", (Row("--region REGION", "where"), Row("--prefix P", "what"))),
        Group("output", (Row("--json", "for scripts"),)),
    ), "",
)  # fmt: skip
STOP = Command("prog do stop", ("prog do stop",), "Stops it.", (("prog do stop", "now"),), (), "")


def test_a_page_has_sections_that_lead_to_commands() -> None:
    page = PAGE["render"](ROOT, [DO, STOP])
    assert "**Every day**\n\n- [`do`](#do): do it\n" in page
    assert page.endswith(
        "## do\n\nDoes it.\n\n`prog do FILE` or `prog do -- CMD`\n\n    prog do x  # now\n\n"
        "| options | |\n|---|---|\n| `--to A\\|B` | such as &lt;job> |\n\n"
        "Settings: `--region`, `--prefix`.\n\nWith `--json`, the result is one JSON object.\n\n"
        "### do stop\n\nStops it.\n\n`prog do stop`\n\n    prog do stop  # now\n\n"
        "[The manual](index.md)\n"
    )
