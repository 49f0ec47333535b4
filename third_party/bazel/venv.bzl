"""Repository rule that makes .venv's Python, with the packages installed there, Bazel's Python."""

_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

py_runtime(
    name = "runtime",
    interpreter_path = "{python}",
    python_version = "PY3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

def _venv_repository_impl(repository_ctx):
    root = repository_ctx.path(Label("//:WORKSPACE")).dirname
    python = root.get_child(".venv").get_child("bin").get_child("python")
    if not python.exists:
        fail("There is no %s: run make venv first" % python)
    repository_ctx.file("BUILD.bazel", _BUILD.format(python = python))

venv_repository = repository_rule(
    implementation = _venv_repository_impl,
    local = True,
)
