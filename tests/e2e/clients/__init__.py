"""Editors and other clients of ssh, each run against a container in a lab.

`script/clients` runs all of them and writes the table of docs/editors.md; `clients_test.py` runs
them as tests.
"""
