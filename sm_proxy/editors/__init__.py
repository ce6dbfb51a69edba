"""The VS Code family of editors: their programs, their settings, and how they open a folder."""
