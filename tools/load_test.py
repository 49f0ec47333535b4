"""Measure throughput, latency and memory of a server of the networks.

    python -m tools.load_test --server=localhost:8500 --requests=1000 --server_pid=PID

Several clients at once request predictions for pictures of several sizes and scales in turn. The
job prints requests and megapixels per second, percentiles of the latency and, with --server_pid,
the memory of the server after a tenth of the requests and at the end. It compares every answer with
the first one for the same picture.

Exit status: 0, success; 1, a request failed, an answer differed, or the test could not start.
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
from smapcomp.jobs.exits import EXIT_FAILED, errors_in_one_line, refuse_arguments
from smapcomp.predictors.base import Compact
from smapcomp.serving.client.remote_predictor import connect
from smapcomp.serving.client.server_options import ServerOptions

FLAGS = flags.FLAGS
NAME = "load_test"

WARM_FRACTION = 0.1
"""Fraction of the requests after which memory is measured first: by then the server has loaded all
that it needs."""


@dataclass(frozen=True)
class LoadReport:
    """Result of a load test.

    Attributes:
        requests: Number of requests.
        clients: Number of clients.
        failed: Number of requests that ended with an error.
        differing: Number of answers that differed from the first one for the same picture.
        seconds: Duration of the test.
        requests_per_second: Answered requests per second.
        megapixels_per_second: Predicted megapixels per second.
        p50: Median latency in milliseconds.
        p95: 95th percentile of the latency in milliseconds.
        p99: 99th percentile of the latency in milliseconds.
        memory_warm: Memory of the server in MiB after `WARM_FRACTION` of the requests; `None` if
            its process is not known.
        memory_end: Memory of the server in MiB at the end; `None` if its process is not known.
        first_error: Message of the first failed request; `None` if none failed.
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


def make_compact_images(sizes: list[tuple[int, int]]) -> list[Compact]:
    """Return a smooth compact image of every size at every scale.

    Args:
        sizes: Widths and heights of padded pictures, multiples of 8, at least 16.
    """
    rng = np.random.default_rng(0)
    images = []
    for (width, height), scale in itertools.product(sizes, SCALES):
        corners = rng.uniform(0, 255, (2, 2, 3))
        y = np.linspace(0, 1, height // scale)[:, None, None]
        x = np.linspace(0, 1, width // scale)[None, :, None]
        top, bottom = (row[0] * (1 - x) + row[1] * x for row in corners)
        images.append(Compact((top * (1 - y) + bottom * y).astype(np.uint8), scale, 50))
    return images


def measure(
    options: ServerOptions,
    compacts: list[Compact],
    requests: int,
    clients: int,
    server_pid: int | None = None,
) -> LoadReport:
    """Send requests to a server and measure it.

    Args:
        options: Address of the server, and options of the calls.
        compacts: Compact images, which are sent in turn.
        requests: Number of requests.
        clients: Number of connections; each sends a request when the last one was answered.
        server_pid: Process of the server, if its memory is to be measured.
    """
    lock = threading.Lock()
    first_digests: dict[int, bytes] = {}
    latencies: list[float] = []
    errors: list[str] = []
    differing = pixels = 0
    memory_warm = None
    local = threading.local()
    predictors = []

    def request_one(index: int) -> None:
        nonlocal differing, pixels, memory_warm
        image_index = index % len(compacts)
        compact = compacts[image_index]
        began = time.perf_counter()
        try:
            if not hasattr(local, "predictor"):
                local.predictor = connect(options)
                predictors.append(local.predictor)
                began = time.perf_counter()
            labels, values = local.predictor.predict_window(compact, "mapped", None, False)
        except ServerError as error:
            with lock:
                errors.append(str(error))
            return
        latency = time.perf_counter() - began
        digest = hashlib.sha256(labels.tobytes() + values.tobytes()).digest()
        with lock:
            latencies.append(latency)
            pixels += values.shape[0] * values.shape[1]
            differing += first_digests.setdefault(image_index, digest) != digest
            if len(latencies) == max(1, int(requests * WARM_FRACTION)):
                memory_warm = _resident_memory(server_pid)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(request_one, range(requests)))
    seconds = time.perf_counter() - began
    memory_end = _resident_memory(server_pid)
    for predictor in predictors:
        predictor.close()
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) * 1000 if latencies else 3 * (np.nan,)
    return LoadReport(
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


def _resident_memory(pid: int | None) -> float | None:
    """Return the resident memory of a process in MiB, from Linux's /proc."""
    if pid is None:
        return None
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def format_report(report: LoadReport) -> str:
    """Format a report as text."""
    lines = [
        f"{report.requests} requests from {report.clients} clients in {report.seconds:.1f} s: "
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
    """Check that a server is on this machine.

    Raises:
        SmapcompError: The address is not a loopback address.
    """
    host = options.target.split("/")[0].rsplit(":", 1)[0].strip("[]")
    try:
        resolved = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise SmapcompError(f"--server={options.address}: {error}") from error
    if not all(ipaddress.ip_address(address.split("%")[0]).is_loopback for address in resolved):
        raise SmapcompError(
            f"--server={options.address} is not on this machine; --allow_remote permits that"
        )


def parse_sizes(words: list[str]) -> list[tuple[int, int]]:
    """Parse sizes of the form WIDTHxHEIGHT, with sides that are multiples of 8 from 16 up.

    Raises:
        SmapcompError: A word has another form.
    """
    sizes = []
    for word in words:
        parts = word.split("x")
        sides = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts]
        if len(sides) != 2 or any(side % 8 or side < 16 for side in sides):
            raise SmapcompError(f"--sizes: {word!r}; allowed: WIDTHxHEIGHT, multiples of 8 from 16")
        sizes.append((sides[0], sides[1]))
    return sizes


def main(arguments: list[str]) -> None:
    """Run the job."""
    refuse_arguments(arguments)
    with errors_in_one_line(NAME):
        options = ServerOptions(FLAGS.server)
        if not FLAGS.allow_remote:
            check_loopback(options)
        compacts = make_compact_images(parse_sizes(FLAGS.sizes))
        report = measure(options, compacts, FLAGS.requests, FLAGS.clients, FLAGS.server_pid)
    print(json.dumps(asdict(report), indent=2) if FLAGS.json else format_report(report))
    if report.failed or report.differing:
        sys.exit(EXIT_FAILED)


def define_flags(values: flags.FlagValues) -> None:
    """Define the job's flags."""
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    boolean = functools.partial(flags.DEFINE_boolean, flag_values=values)
    flags.DEFINE_string(
        "server",
        None,
        "Address of the server, as for `smapcomp compress`.",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_list(
        "sizes",
        ["64x48", "128x96", "96x192"],
        "Widths and heights of the pictures.",
        flag_values=values,
    )
    integer("requests", 1000, "Number of requests.", 1, 1_000_000)
    integer("clients", 4, "Number of clients at once.", 1, 256)
    integer("server_pid", None, "Process of the server, whose memory is then measured.", 1)
    boolean("allow_remote", False, "Accept a server on another machine.")
    boolean("json", False, "Print JSON.")


if __name__ == "__main__":
    define_flags(FLAGS)
    app.run(main)
