"""The VS Code family of editors: where they are, their settings, how they open a folder."""
