"""The load test, against a server that answers always, and against one that does not."""

import json
import os

import grpc
import pytest

from smapcomp.errors import SmapcompError
from smapcomp.serving.client.server_options import ServerOptions
from tests.helpers.jobs import run_job
from tests.helpers.loopback_server import (
    BatchingRunner,
    CallError,
    Models,
    grpc_server,
)
from tests.helpers.ports import free_ports
from tools import load_test


@pytest.mark.parametrize("batcher", [None, BatchingRunner], ids=["direct", "batching"])
def test_every_request_is_answered_and_counted(light_model, batcher, capsys):
    models = Models(light_model.folder, batcher)
    with grpc_server(models.respond, *free_ports(1)) as address:
        words = [f"--server={address}", "--requests=24", "--clients=3", "--sizes=16x24,32x16"]
        run_job(load_test, *words, f"--server_pid={os.getpid()}", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["requests"], report["failed"], report["differing"]) == (24, 0, 0)
    assert 0 < report["p50"] <= report["p95"] <= report["p99"]
    # Eight pictures, three times each.
    pixels = 3 * 4 * (16 * 24 + 32 * 16)
    assert report["megapixels_per_second"] == pytest.approx(pixels / 1e6 / report["seconds"])
    assert report["memory_end"] > 50


def test_failures_and_differing_answers_are_counted(light_model):
    models = Models(light_model.folder)
    count = 0

    def predict(request):
        nonlocal count
        if request.model_spec.signature_name == "predict":
            count += 1
            if count == 3:
                raise CallError(grpc.StatusCode.INTERNAL, "broken")
            if count == 4:
                request.inputs["quality"].CopyFrom(request.inputs["scale"])
        return models.respond(request)

    with grpc_server(predict, *free_ports(1)) as address:
        compacts = load_test.make_compact_images([(16, 16)])[:1]
        report = load_test.measure(ServerOptions(address), compacts, 5, clients=1)
    assert (report.failed, report.requests) == (1, 5)
    assert "broken" in report.first_error
    assert "1 failed" in load_test.format_report(report)


def test_a_server_on_another_machine_needs_allow_remote(capsys):
    with pytest.raises(SmapcompError, match="is not on this machine; --allow_remote"):
        load_test.check_loopback(ServerOptions("192.0.2.1:8500"))
    for server in ("127.0.0.1:1", "[::1]:1", "http://localhost:1"):
        load_test.check_loopback(ServerOptions(server))
    with pytest.raises(SystemExit):
        run_job(load_test, "--server=192.0.2.1:8500")
    assert "--allow_remote" in capsys.readouterr().err
    with pytest.raises(SmapcompError, match="'10x16'; allowed: WIDTHxHEIGHT"):
        load_test.parse_sizes(["10x16"])
