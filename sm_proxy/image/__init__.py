"""Builds a container image on CodeBuild, without docker on this machine."""
