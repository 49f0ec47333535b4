"""Run the commands of the documentation's pages in a folder of their own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import doc_settings
from tests.helpers.doc_commands import DocCommand, commands_of, synopsis_filled
from tests.helpers.ports import free_ports

SECONDS = 900
"""Longest time of a command. It is a guard against a hang, not a measurement."""

PROGRAMS = ("base64", "curl", "make")
"""Programs that the pages use and a small system may lack."""

COSTLY = re.compile(
    r"experiments\.train|smapcomp\.export|--server|serving/run|loopback_server|evaluation\."
    r"|data\.prepare"
)
"""Commands that are run once, however often they stand in the pages with other file names."""

FILE_FLAGS = re.compile(
    r"--(out|workdir|data|source|from|work|config\.(data|model)\.(source|init|backbone))=\S+"
)
FILE_NAMES = re.compile(r"\b[\w/]+\.(jpg|png|smc|npz)\b")


def shape(text: str) -> str:
    """Return a command without the names of files and with `N` for each number."""
    text = FILE_NAMES.sub("FILE", FILE_FLAGS.sub(r"--\1", text))
    return re.sub(r"=[\d.]+(?=\s|$)", "=N", text)


def found_in(patterns: dict[str, str], text: str) -> str | None:
    """Return the value of the first pattern that is found in a text, or `None`."""
    return next((value for key, value in patterns.items() if re.search(key, text)), None)


def treatments() -> dict[DocCommand, tuple[str, str]]:
    """Return what is done with each command, and why.

    Returns:
        Command to one of "run", "slow", "checked", "excused", "repeated" or "unknown", and a
        reason.
    """
    table: dict[DocCommand, tuple[str, str]] = {}
    first: dict[str, DocCommand] = {}
    for command in commands_of(*(page for pages in doc_settings.PAGES.values() for page in pages)):
        key = shape(command.text)
        text = with_stand_ins(whole(command))
        excuse = found_in(doc_settings.EXCUSED, command.text)
        checked = found_in(doc_settings.CHECKED, command.text)
        slow = found_in(doc_settings.SLOW, command.text)
        if excuse:
            table[command] = "excused", excuse
        elif is_repeated(command, first.get(key)):
            table[command] = "repeated", f"runs as {first[key]}"
        elif checked:
            table[command] = "checked", checked
        elif found_in(doc_settings.TINY, text) is None:
            table[command] = "unknown", "no pattern of TINY in tests/helpers/doc_settings.py"
        else:
            table[command] = ("slow", slow) if slow else ("run", "")
        first.setdefault(key, command)
    return table


def is_repeated(command: DocCommand, first: DocCommand | None) -> bool:
    """Return whether a command need not run, because the first one of its shape does."""
    if first is None or not COSTLY.search(command.text):
        return False
    return first.page != command.page or first.text == command.text


def whole(command: DocCommand) -> str:
    """Return a command in which "…" stands for the first one of its page with such flags."""
    text = command.text
    if text.startswith("…"):
        module = "data.prepare" if "data.md" in command.page else "smapcomp.bulk"
        start = next(
            other.text for other in commands_of(command.page) if f"python -m {module}" in other.text
        )
        text = start + text.removeprefix("…")
    return synopsis_filled(text)


def with_stand_ins(text: str) -> str:
    """Replace what the tests do not have; see `doc_settings.STAND_INS`."""
    for pattern, replacement in doc_settings.STAND_INS:
        text = re.sub(pattern, replacement, text)
    return text


def tiny(text: str) -> str:
    """Add the tiny settings of a command, before flags of Beam."""
    flags = found_in(doc_settings.TINY, text) or ""
    job, dashes, beam = text.partition(" -- ")
    return f"{job} {flags}{dashes}{beam}".strip()


class DocRunner:
    """Shell whose working folder is one of `doc_folder.make_folder`.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._ports = free_ports(2)
        self._servers: dict[str, subprocess.Popen] = {}
        self._environment = os.environ | {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
        }

    def run(self, text: str) -> str:
        """Run a command with stand-ins and tiny settings; return what it printed.

        Raises:
            AssertionError: It failed, or one of its outputs does not exist.
        """
        text = tiny(with_stand_ins(text))
        for port, free in zip((8500, 8501), self._ports, strict=True):
            text = re.sub(rf"(port=|localhost:){port}\b", rf"\g<1>{free}", text)
        if "loopback_server" in text:
            return self._serve(text)
        done = self._shell(text)
        printed = done.stdout + done.stderr
        failed = done.returncode or "Traceback" in printed
        assert not failed, f"{text}\n{printed[-3000:]}"
        for name in re.findall(r"--(?:out|workdir|out_dir|output)=(\S+)", text):
            assert (self.folder / name).exists(), f"{text}\nmade no {name}\n{printed[-3000:]}"
        return printed

    def check(self, text: str) -> str:
        """Build the configuration of a training command without training."""
        text = with_stand_ins(text)
        assert "experiments.train" in text
        done = self._shell(text.replace("experiments.train", "tests.helpers.config_check"))
        assert done.returncode == 0, f"{text}\n{done.stderr[-3000:]}"
        return done.stdout

    def close(self) -> None:
        """End the servers."""
        for server in self._servers.values():
            server.terminate()
            server.communicate()

    def _shell(self, text: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {text}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )

    def _serve(self, text: str) -> str:
        """Start a server and wait until it accepts calls; it runs until `close`."""
        if text in self._servers:
            return ""
        path = self.folder / "server.log"
        with path.open("w") as log:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._servers[text] = server
        self._environment["SERVER_PID"] = str(server.pid)
        printed = ""
        assert server.stdout
        for line in server.stdout:
            printed += line
            if line.startswith("serving"):
                return printed
        raise AssertionError(f"{text}\n{printed}{path.read_text()[-3000:]}")


def tested_in(file: Path) -> list[DocCommand]:
    """Return the commands that a file of tests/docs runs or checks, in the order of the pages."""
    pages = doc_settings.PAGES[file.name]
    return [
        command
        for command, (treatment, _) in treatments().items()
        if command.page in pages and treatment in ("run", "checked")
    ]


def run_command(command: DocCommand, runner: DocRunner) -> str:
    """Run or check a command as `treatments` says."""
    text = whole(command)
    for program in PROGRAMS:
        if re.search(rf"\b{program} ", text) and shutil.which(program) is None:
            pytest.skip(f"{program} is not on PATH")
    run = runner.check if treatments()[command][0] == "checked" else runner.run
    return run(text)
