"""What is copied: files and folders on both sides, their names, and the folders of the target."""
