# ruff: noqa: INP001, T201 - an example, to be copied
"""A training program for the Dockerfile above this folder. It does not know about ssh."""

import json
import os
import pathlib
import time

ML = pathlib.Path(os.environ.get("SM_PROXY_ML_DIR", "/opt/ml"))


def main() -> None:
    """Train on nothing, leave a checkpoint and a model."""
    config = json.loads((ML / "input/config/resourceconfig.json").read_text())
    print("training on", config["current_host"], "of", config["hosts"], flush=True)
    for folder in ("checkpoints", "model"):
        (ML / folder).mkdir(parents=True, exist_ok=True)
    for epoch in range(1, 61):
        (ML / "checkpoints" / f"checkpoint-{epoch}.txt").write_text(f"epoch {epoch}\n")
        print(f"epoch {epoch} loss {1 / epoch:.3f}", flush=True)
        time.sleep(10)
    (ML / "model" / "model.txt").write_text("a model\n")


if __name__ == "__main__":
    main()
