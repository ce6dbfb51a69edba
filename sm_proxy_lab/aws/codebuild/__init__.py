"""The lab's CodeBuild."""
