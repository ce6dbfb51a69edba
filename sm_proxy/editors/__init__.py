"""The editors of the VS Code family: where they are, their settings, how they open a folder."""
