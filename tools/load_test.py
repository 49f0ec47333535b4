r"""Sends many predictions to a server of the networks and tells how it bears it.

    python -m tools.load_test --server=localhost:8500 --requests=1000 --server_pid=PID

Pictures of several sizes and scales in turn, from several clients at once. Prints requests and
megapixels a second, percentiles of the latency, and with --server_pid the memory of the server when
a tenth of the requests was answered and at the end. Every answer is held against the first for the
same picture. Exit status 1 if a request failed or an answer differed.
"""

import functools
import hashlib
import ipaddress
import itertools
import json
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
from absl import app, flags

from smapcomp.design import SCALES
from smapcomp.errors import ServerError, SmapcompError
from smapcomp.predictors.base import Compact
from smapcomp.serving.client.remote_predictor import connect
from smapcomp.serving.client.server_options import ServerOptions

FLAGS = flags.FLAGS

WARM_SHARE = 0.1
"""Of the requests, after which memory is looked at first: by then all is loaded."""


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        requests, clients: How many there were.
        failed: Requests that ended with an error.
        differing: Answers that were not the first for the same picture.
        seconds: In all.
        requests_per_second, megapixels_per_second: Of those that were answered.
        p50, p95, p99: Of the latency, milliseconds.
        memory_warm, memory_end: Of the server, MiB; None if its process is not known.
        first_error: Of those that failed.
    """

    requests: int
    clients: int
    failed: int
    differing: int
    seconds: float
    requests_per_second: float
    megapixels_per_second: float
    p50: float
    p95: float
    p99: float
    memory_warm: float | None
    memory_end: float | None
    first_error: str | None


def pictures(sizes: list[tuple[int, int]]) -> list[Compact]:
    """A smooth compact image of every size at every scale.

    Args:
        sizes: Width and height of padded pictures, multiples of 8, at least 16.
    """
    rng = np.random.default_rng(0)
    found = []
    for (width, height), scale in itertools.product(sizes, SCALES):
        corners = rng.uniform(0, 255, (2, 2, 3))
        y = np.linspace(0, 1, height // scale)[:, None, None]
        x = np.linspace(0, 1, width // scale)[None, :, None]
        top, bottom = (row[0] * (1 - x) + row[1] * x for row in corners)
        found.append(Compact((top * (1 - y) + bottom * y).astype(np.uint8), scale, 50))
    return found


def run(
    options: ServerOptions,
    compacts: list[Compact],
    requests: int,
    clients: int,
    server_pid: int | None = None,
) -> Report:
    """Sends the pictures in turn.

    Args:
        options: Of the server.
        compacts: What is sent.
        requests: How many.
        clients: Connections, each of which waits for its answer before it asks again.
        server_pid: Process of the server.
    """
    lock = threading.Lock()
    seen: dict[int, bytes] = {}
    latencies: list[float] = []
    errors: list[str] = []
    differing = pixels = 0
    memory_warm = None
    local = threading.local()
    predictors = []

    def one(index: int) -> None:
        nonlocal differing, pixels, memory_warm
        which = index % len(compacts)
        compact = compacts[which]
        began = time.perf_counter()
        try:
            if not hasattr(local, "predictor"):
                local.predictor = connect(options)
                predictors.append(local.predictor)
                began = time.perf_counter()
            labels, values = local.predictor.predict_window(compact, "mapped", None, exact=False)
        except ServerError as error:
            with lock:
                errors.append(str(error))
            return
        passed = time.perf_counter() - began
        digest = hashlib.sha256(labels.tobytes() + values.tobytes()).digest()
        with lock:
            latencies.append(passed)
            pixels += values.shape[0] * values.shape[1]
            differing += seen.setdefault(which, digest) != digest
            if len(latencies) == max(1, int(requests * WARM_SHARE)):
                memory_warm = _memory(server_pid)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(requests)))
    seconds = time.perf_counter() - began
    memory_end = _memory(server_pid)
    for predictor in predictors:
        predictor.close()
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) * 1000 if latencies else 3 * (np.nan,)
    return Report(
        requests,
        clients,
        len(errors),
        differing,
        seconds,
        len(latencies) / seconds,
        pixels / 1e6 / seconds,
        float(p50),
        float(p95),
        float(p99),
        memory_warm,
        memory_end,
        errors[0] if errors else None,
    )


def _memory(pid: int | None) -> float | None:
    """Resident memory of a process in MiB, where the system tells it."""
    if pid is None:
        return None
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def sentences(report: Report) -> str:
    """The report for reading."""
    lines = [
        f"{report.requests} requests of {report.clients} clients in {report.seconds:.1f} s: "
        f"{report.failed} failed, {report.differing} differed",
        f"{report.requests_per_second:.2f} requests/s, "
        f"{report.megapixels_per_second:.3f} megapixels/s",
        f"latency p50 {report.p50:.0f} ms, p95 {report.p95:.0f} ms, p99 {report.p99:.0f} ms",
    ]
    if report.memory_end is not None:
        lines.append(
            f"memory of the server: {report.memory_warm or 0:.0f} MiB after a tenth, "
            f"{report.memory_end:.0f} MiB at the end"
        )
    if report.first_error:
        lines.append(f"first error: {report.first_error}")
    return "\n".join(lines)


def check_loopback(options: ServerOptions) -> None:
    """Refuses servers on other machines.

    Raises:
        SmapcompError: The server's address is none of this machine's own.
    """
    host = options.target.split("/")[0].rsplit(":", 1)[0].strip("[]")
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise SmapcompError(f"--server={options.address}: {error}") from error
    if not all(ipaddress.ip_address(address.split("%")[0]).is_loopback for address in found):
        raise SmapcompError(
            f"--server={options.address} is not on this machine; --allow_remote permits the load"
        )


def parse_sizes(words: list[str]) -> list[tuple[int, int]]:
    """WIDTHxHEIGHT, each a multiple of 8 from 16 up.

    Raises:
        SmapcompError: It is something else.
    """
    found = []
    for word in words:
        parts = word.split("x")
        sides = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts]
        if len(sides) != 2 or any(side % 8 or side < 16 for side in sides):
            raise SmapcompError(f"--sizes: {word!r}; allowed: WIDTHxHEIGHT, multiples of 8 from 16")
        found.append((sides[0], sides[1]))
    return found


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(arguments[1:])}")
    try:
        options = ServerOptions(FLAGS.server)
        if not FLAGS.allow_remote:
            check_loopback(options)
        compacts = pictures(parse_sizes(FLAGS.sizes))
        report = run(options, compacts, FLAGS.requests, FLAGS.clients, FLAGS.server_pid)
    except (SmapcompError, OSError) as error:
        print(f"load_test: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(asdict(report), indent=2) if FLAGS.json else sentences(report))
    if report.failed or report.differing:
        sys.exit(1)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the job's flags."""
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    boolean = functools.partial(flags.DEFINE_boolean, flag_values=values)
    flags.DEFINE_string(
        "server", None, "As of `smapcomp compress`.", required=True, flag_values=values
    )
    flags.DEFINE_list(
        "sizes", ["64x48", "128x96", "96x192"], "Of the pictures.", flag_values=values
    )
    integer("requests", 1000, "How many.", 1, 1_000_000)
    integer("clients", 4, "At once.", 1, 256)
    integer("server_pid", None, "Process of the server, to tell its memory.", 1)
    boolean("allow_remote", False, "Take a server on another machine.")
    boolean("json", False, "Print JSON.")


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
