"""The configurations in `serving/`, and TensorFlow Serving itself where it is installed."""

import inspect
import re
import shutil
import subprocess
import time

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from smapcomp.codec import api
from smapcomp.errors import ServerUnavailableError
from smapcomp.pictures.image_files import read_picture
from smapcomp.serving import contract
from smapcomp.serving.client.remote_predictor import connect
from smapcomp.serving.client.server_options import ServerOptions
from tests.helpers.loopback_server import BatchingRunner
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_ports

SERVING = ROOT / "serving"
SERVER = shutil.which("tensorflow_model_server")


def test_the_configuration_serves_the_model_under_the_clients_name():
    text = (SERVING / "models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.name == contract.MODEL_NAME
    assert model.base_path == "/models/smapcomp"


def test_the_loopback_server_batches_as_the_configuration_says():
    text = (SERVING / "batching.config").read_text()
    found = dict(re.findall(r"^(\w+) \{ value: (\d+) \}", text, re.MULTILINE))
    defaults = inspect.signature(BatchingRunner).parameters
    assert int(found["max_batch_size"]) == defaults["max_batch_size"].default
    assert int(found["batch_timeout_micros"]) == 1e6 * defaults["timeout"].default


def test_the_docker_command_uses_every_configuration_and_opens_no_port_to_others():
    script = (SERVING / "run.sh").read_text()
    for path in SERVING.glob("*.config"):
        assert f"/config/{path.name}" in script
    published = [word for word in script.split() if word.endswith((":8500", ":8501"))]
    assert published == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    subprocess.run(["sh", "-n", SERVING / "run.sh"], check=True)


@pytest.mark.skipif(not SERVER, reason="tensorflow_model_server is not on PATH")
@pytest.mark.parametrize("batching", [False, True])
def test_tensorflow_serving_makes_the_stream_of_the_local_networks(light_model, tmp_path, batching):
    grpc_port, rest_port = free_ports(2)
    config = (SERVING / "models.config").read_text()
    (tmp_path / "models.config").write_text(
        config.replace("/models/smapcomp", str(light_model.folder))
    )
    words = [SERVER, f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
    words += [f"--model_config_file={tmp_path / 'models.config'}"]
    words += [f"--monitoring_config_file={SERVING / 'monitoring.config'}"]
    if batching:
        words += ["--enable_batching"]
        words += [f"--batching_parameters_file={SERVING / 'batching.config'}"]
    picture = read_picture(ROOT / "docs" / "demo" / "photo.png").samples[:53, :91]
    expected = api.compress(picture, predictor=light_model.predictor, speed=9)
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        for address in (f"localhost:{grpc_port}", f"http://localhost:{rest_port}"):
            remote = _connect_when_ready(address, server)
            assert api.compress(picture, predictor=remote, speed=9) == expected
    finally:
        server.terminate()
        server.wait(30)


def _connect_when_ready(address: str, server: subprocess.Popen):
    end = time.monotonic() + 300
    while True:
        try:
            return connect(ServerOptions(address))
        except ServerUnavailableError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(1)
