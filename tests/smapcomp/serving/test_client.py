"""The client: the same streams as without a server, and one line for every error."""

import base64
import functools
import json
import os
import ssl
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from smapcomp import zoo
from smapcomp.cli import main
from smapcomp.codec import api, layered_encoder
from smapcomp.design import Tiling
from smapcomp.errors import (
    ModelMismatchError,
    ServerModelError,
    ServerReplyError,
    ServerTimeoutError,
    ServerUnavailableError,
    SmapcompError,
)
from smapcomp.pictures.image_files import read_picture, write_picture
from smapcomp.pictures.picture import Picture
from smapcomp.predictors.keras_predictor import KerasPredictor
from smapcomp.serving import contract, messages
from smapcomp.serving.client import retries
from smapcomp.serving.client.remote_predictor import connect
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.messages import bytes_array
from tests.helpers.light_model import LightNetworks
from tests.helpers.loopback_server import (
    BatchingRunner,
    CallError,
    DirectRunner,
    Models,
    grpc_server,
    rest_server,
)
from tests.helpers.paths import ROOT
from tests.helpers.pngs import encode_png
from tests.helpers.ports import free_ports

PHOTO = read_picture(ROOT / "docs" / "demo" / "photo.png").samples

# By default the networks are omitted where they do harm, as untrained ones do; a named scale keeps
# them.
SETTINGS = {
    "default": {"quality": 40, "compact_scale": 1},
    "papers": {"quality": 30, "compact_coder": "jxl"},
    "sent": {"quality": 20, "mode": "sent"},
    "none": {"quality": 20, "mode": "none", "compact_scale": 4},
    "lossless": {"lossless": True, "mode": "matched"},
}


@pytest.fixture(scope="module")
def models(light_model) -> Models:
    return Models(light_model.folder)


@pytest.fixture(scope="module")
def grpc_address(models):
    with grpc_server(models.respond, *free_ports(1)) as address:
        yield address


@pytest.fixture(scope="module")
def rest_url(models):
    with rest_server(models, *free_ports(1)) as url:
        yield url


@pytest.fixture(scope="module")
def addresses(grpc_address, rest_url) -> dict[str, str]:
    return {"grpc": grpc_address, "rest": rest_url}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "localhost")


@pytest.fixture
def flaky(models):
    """Address of a server, its calls, and a dict whose entry "change" replaces its answers."""
    calls: list = []
    hook = {}

    def predict(request):
        calls.append(request)
        change = hook.get("change")
        return change(request) if change else models.respond(request)

    with grpc_server(predict, *free_ports(1)) as address:
        yield address, calls, hook


def compress_by(predictor, picture, **settings) -> bytes:
    return api.compress(picture, predictor=predictor, speed=9, **settings)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_server_makes_the_stream_of_the_local_networks_and_decodes_it(
    light_model, addresses, protocol, name
):
    picture = PHOTO[:53, :91, :1] if name == "papers" else PHOTO[:53, :91]
    local = light_model.predictor
    expected = compress_by(local, picture, **SETTINGS[name])
    remote = connect(ServerOptions(addresses[protocol]))
    assert compress_by(remote, picture, **SETTINGS[name]) == expected
    for stage in ("full", "compact"):
        found = api.decode(expected, stage=stage, predictor=remote).samples
        own = api.decode(expected, stage=stage, predictor=local).samples
        np.testing.assert_array_equal(found, own)


@pytest.mark.parametrize("name", ["default", "papers", "sent"])
def test_a_tiled_picture_makes_the_same_stream(light_model, grpc_address, monkeypatch, name):
    monkeypatch.setattr(layered_encoder, "choose_tiling", lambda height, width: Tiling(96, 32))
    picture = PHOTO[:150, :170]
    expected = compress_by(light_model.predictor, picture, **SETTINGS[name])
    remote = connect(ServerOptions(grpc_address))
    assert compress_by(remote, picture, **SETTINGS[name]) == expected
    decoded = api.decode(expected, predictor=remote).samples
    local = api.decode(expected, predictor=light_model.predictor).samples
    np.testing.assert_array_equal(decoded, local)


def test_the_command_needs_neither_tensorflow_nor_weights(light_model, addresses, tmp_path):
    picture = PHOTO[:40, :48]
    expected = compress_by(light_model.predictor, picture)
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from smapcomp.cli import main
server = f"--server={sys.argv[1]}"
assert main(["", "compress", "a.png", "a.smc", server, "--speed=9"]) == 0
assert main(["", "decompress", "a.smc", "back.png", server]) == 0
loaded = {name.split(".")[0] for name in sys.modules if sys.modules[name] is not None}
assert not loaded & {"tensorflow", "keras", "tensorflow_serving"}, loaded
"""
    for protocol, address in addresses.items():
        folder = tmp_path / protocol
        folder.mkdir()
        write_picture(folder / "a.png", Picture(picture))
        result = subprocess.run(
            [sys.executable, "-c", script, address],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, result.stderr) == (
            0,
            f"smapcomp: {address}: model 'smapcomp' has other weights than "
            f"{zoo.BUNDLED_WEIGHTS / 'lite'}; decoding needs this model, or its weights in "
            "--weights_dir\n",
        )
        assert (folder / "a.smc").read_bytes() == expected
        local = api.decode(expected, predictor=light_model.predictor).samples
        np.testing.assert_array_equal(read_picture(folder / "back.png").samples, local)


def command(capsys, *words) -> tuple[int, str]:
    status = main(["smapcomp", *map(str, words)])
    captured = capsys.readouterr()
    assert captured.out == ""
    # The light model has other weights than the package, of which a notice tells.
    lines = [line for line in captured.err.splitlines() if "has other weights" not in line]
    assert len(lines) == 1, captured.err
    return status, lines[0]


def test_errors_of_the_command_are_one_line_and_leave_no_file(
    addresses, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    write_picture("a.png", Picture(PHOTO[:24, :40]))
    port = free_ports(1)[0]
    for address in addresses.values():
        server = f"--server={address}"
        for words, message in [
            ([server, "--server_model=other"], "has no model 'other': Servable not found"),
            ([server, "--server_version=7"], "has no model 'smapcomp' version 7: Servable"),
            ([server, "--variant=paper"], "is of variant 'lite', not 'paper'"),
            ([server, "--server_max_bytes=900"], "900 bytes, the limit"),
        ]:
            status, error = command(capsys, "compress", "a.png", "a.smc", *words)
            assert (status, message in error) == (1, True), error
    for address in (f"localhost:{port}", f"http://localhost:{port}"):
        words = [f"--server={address}", "--server_retries=1"]
        status, error = command(capsys, "compress", "a.png", "a.smc", *words)
        assert (status, f"{address}: the server is unavailable" in error) == (1, True), error
    words = [f"--server=http://{addresses['grpc']}", "--server_retries=0"]
    status, error = command(capsys, "compress", "a.png", "a.smc", *words)
    assert (status, "the server is unavailable: the answer is not HTTP" in error) == (1, True)
    for words, message in [
        (["--server=localhost"], "server 'localhost'; allowed: HOST:PORT"),
        (["--server=ftp://localhost:1"], "server 'ftp://localhost:1'; allowed: HOST:PORT"),
        (["--server=localhost:1", "--server_ca=absent.pem"], "absent.pem: no such file"),
        (
            ["--server=localhost:1", "--server_cert=a.png"],
            "a client has a certificate and a key or neither",
        ),
        (
            ["--server=http://localhost:1", "--server_ca=a.png"],
            "with certificates; allowed with https://",
        ),
    ]:
        status, error = command(capsys, "compress", "a.png", "a.smc", *words)
        assert (status, message in error) == (1, True), error
    assert os.listdir() == ["a.png"]


def test_a_stream_of_other_weights_is_refused(light_model, grpc_address, tmp_path):
    other = LightNetworks(tmp_path, seed=1)
    data = compress_by(KerasPredictor(other), PHOTO[:24, :40], compact_scale=1)
    with pytest.raises(ModelMismatchError, match="stream needs weights"):
        api.decode(data, predictor=connect(ServerOptions(grpc_address)))


def test_a_call_is_repeated_while_the_server_is_unavailable_and_only_then(models, flaky):
    address, calls, hook = flaky
    remote = connect(ServerOptions(address))
    calls.clear()

    def twice_unavailable(request):
        if len(calls) < 3:
            raise CallError(grpc.StatusCode.UNAVAILABLE, "loading")
        return models.respond(request)

    hook["change"] = twice_unavailable
    assert remote.segment(PHOTO[:16, :16]).shape == (2, 2)
    assert len(calls) == 3

    for code, error, message in [
        (grpc.StatusCode.INVALID_ARGUMENT, ServerReplyError, "INVALID_ARGUMENT.*no PNG"),
        (grpc.StatusCode.INTERNAL, ServerReplyError, "INTERNAL"),
        (grpc.StatusCode.UNIMPLEMENTED, ServerModelError, "is not a TensorFlow Serving server"),
    ]:
        calls.clear()

        def refuse(_, code=code):
            raise CallError(code, "no PNG")

        hook["change"] = refuse
        with pytest.raises(error, match=message):
            remote.segment(PHOTO[:16, :16])
        assert len(calls) == 1


def test_a_late_answer_is_an_error_and_the_call_is_not_repeated(flaky):
    address, calls, hook = flaky
    released = threading.Event()
    hook["change"] = lambda _: released.wait(30) and None
    try:
        with pytest.raises(ServerTimeoutError, match=r"no answer within 0\.2 seconds"):
            connect(ServerOptions(address, timeout=0.2))
        assert len(calls) == 1
    finally:
        released.set()


def test_waits_grow_with_jitter_and_end_with_the_deadline():
    waits: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    def unavailable(_: float) -> None:
        raise ServerUnavailableError("down")

    options = ServerOptions("localhost:1", timeout=1000, retries=8)
    with pytest.raises(ServerUnavailableError):
        retries.call_with_retries(unavailable, options, sleep, lambda: now[0])
    longest = [min(0.1 * 2**n, 5.0) for n in range(8)]
    assert all(high / 2 <= wait <= high for wait, high in zip(waits, longest, strict=True))
    assert len({round(wait / high, 6) for wait, high in zip(waits, longest, strict=True)}) > 1
    waits.clear()
    options = ServerOptions("localhost:1", timeout=1, retries=100)
    with pytest.raises(ServerUnavailableError):
        retries.call_with_retries(unavailable, options, sleep, lambda: now[0])
    assert sum(waits) < 1


def changed_facts(models, **facts):
    """Return a function that answers as the model, but with other outputs of `describe`."""

    def change(request):
        response = models.respond(request)
        for name, value in facts.items():
            array = tf.make_ndarray(response.outputs[name])
            response.outputs[name].CopyFrom(tf.make_tensor_proto(np.full_like(array, value)))
        return response

    return change


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"contract_version": 2}, "has signatures of version 2; this client knows 1"),
        ({"precision": b"bfloat16"}, "computes in bfloat16, so only this model could decode"),
        ({"variant": b"heavy"}, "is of variant 'heavy'; allowed: paper, lite"),
    ],
)
def test_a_model_of_other_signatures_precision_or_variant_is_refused(models, flaky, facts, message):
    address, _, hook = flaky
    hook["change"] = changed_facts(models, **facts)
    with pytest.raises(ServerModelError, match=message):
        connect(ServerOptions(address))


def test_malformed_replies_are_refused(models, flaky):
    address, _, hook = flaky
    remote = connect(ServerOptions(address))

    def replace(name, *values):
        def change(request):
            response = models.respond(request)
            response.outputs[name].CopyFrom(tf.make_tensor_proto(list(values)))
            return response

        return change

    labels = "label_grid_bytes"
    small = np.zeros((1, 2), np.uint8)
    for change, message in [
        (replace(labels, b"text"), "output label_grid_bytes is not a PNG file"),
        (
            replace(labels, encode_png(small)),
            r"label_grid_bytes of shape \(1, 2\), not \(2, 2\)",
        ),
        (replace(labels, b"", b""), r"label_grid_bytes of shape \(2,\), not \(1,\)"),
        (lambda _: predict_pb2.PredictResponse(), "label_grid_bytes of shape None"),
    ]:
        hook["change"] = change
        with pytest.raises(ServerReplyError, match=message):
            remote.segment(PHOTO[:16, :16])
    bad = tf.io.serialize_tensor(tf.zeros((2, 2, 1))).numpy()
    for value, message in [(b"\xff", "not a tensor"), (bad, r"float32 \(2, 2, 1\), not float32")]:
        hook["change"] = replace("values_bytes", value)
        with pytest.raises(ServerReplyError, match=message):
            remote.run_compnet(PHOTO[:16, :16])


def test_an_error_names_the_wrong_input_of_a_request(rest_url, grpc_address):
    for address in (rest_url, grpc_address):
        remote = connect(ServerOptions(address))
        for change, message in [
            ({"scale": np.array([3], np.int32)}, "scale; allowed"),
            ({"quality": np.array([101], np.int32)}, "quality; allowed"),
            ({"mode": bytes_array(b"magic")}, "mode; allowed"),
            ({"scale": np.array([1, 1], np.int32)}, "allowed: all equal"),
            (
                {"compact_bytes": bytes_array(encode_png(PHOTO[:20, :16]))},
                "multiples of 8",
            ),
            ({"compact_bytes": bytes_array(b"text")}, ""),
            (
                {"label_grid_bytes": bytes_array(encode_png(PHOTO[:3, :2, 0]))},
                "label grid",
            ),
        ]:
            inputs = {
                "compact_bytes": bytes_array(encode_png(PHOTO[:16, :16])),
                "label_grid_bytes": bytes_array(b""),
                "scale": np.array([1], np.int32),
                "quality": np.array([50], np.int32),
                "mode": bytes_array(b"mapped"),
            }
            with pytest.raises(ServerReplyError, match=f"refused the call.*{message}"):
                remote._transport.call("predict", inputs | change)


def test_more_pixels_than_a_window_has_are_refused(grpc_address):
    remote = connect(ServerOptions(grpc_address))
    with pytest.raises(ServerReplyError, match="pixels; allowed: up to 2097152"):
        remote.upsample(np.zeros((264, 128, 3), np.uint8), 8)


def test_the_largest_window_fits_the_message_limit():
    assert ServerOptions("localhost:1").max_message_bytes > 12 * contract.MAX_PIXELS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert]
    try:
        subprocess.run(words, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("needs the program openssl")
    return key, cert


def test_tls_accepts_only_servers_of_the_certificate_authority(models, certificate):
    key, cert = certificate
    pair = [(key.read_bytes(), cert.read_bytes())]
    credentials = grpc.ssl_server_credentials(pair)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    ports = free_ports(2)
    with (
        grpc_server(models.respond, ports[0], credentials) as address,
        rest_server(models, ports[1], context) as url,
    ):
        for server in (address, f"grpcs://{address}", url):
            remote = connect(ServerOptions(server, ca=str(cert)))
            assert remote.segment(PHOTO[:16, :16]).shape == (2, 2)
        for server in (f"grpcs://{address}", url):
            with pytest.raises(ServerUnavailableError):
                connect(ServerOptions(server, retries=0, timeout=20))


def test_a_client_certificate_is_sent_to_a_server_that_requires_one(models, certificate):
    key, cert = certificate
    pair = [(key.read_bytes(), cert.read_bytes())]
    credentials = grpc.ssl_server_credentials(pair, cert.read_bytes(), True)
    with grpc_server(models.respond, *free_ports(1), credentials) as address:
        options = {"ca": str(cert), "retries": 0, "timeout": 20}
        connect(ServerOptions(address, cert=str(cert), key=str(key), **options))
        with pytest.raises(ServerUnavailableError):
            connect(ServerOptions(address, **options))


def test_messages_are_encoded_as_those_of_tensorflow_serving():
    arrays = {
        "bytes": bytes_array(b"\xff\x00", b""),
        "ints": np.array([[1, -2], [3, 4]], np.int32),
        "longs": np.array([1 << 40], np.int64),
        "floats": np.array([0.5, -1], np.float32),
        "levels": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        "none": np.zeros((0, 3), np.float64),
        "truth": np.array([True, False]),
    }
    data = messages.make_predict_request("name", 3, "predict", arrays).SerializeToString()
    theirs = predict_pb2.PredictRequest.FromString(data)
    spec = theirs.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("name", 3, "predict")
    assert set(theirs.inputs) == set(arrays)
    for name, array in arrays.items():
        found = tf.make_ndarray(theirs.inputs[name])
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
    latest = messages.make_predict_request("name", None, "predict", {}).SerializeToString()
    assert not predict_pb2.PredictRequest.FromString(latest).model_spec.HasField("version")

    response = predict_pb2.PredictResponse()
    arrays["equal"] = np.full((3, 4), 7, np.int32)
    for name, array in arrays.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
    response.outputs["once"].CopyFrom(tf.make_tensor_proto(7, shape=(2, 2)))
    ours = messages.PredictResponse.FromString(response.SerializeToString())
    found = messages.to_arrays(ours.outputs)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    np.testing.assert_array_equal(found["once"], np.full((2, 2), 7))


def test_warmup_has_requests_for_every_signature_that_fit_the_smallest_batch(models, light_model):
    path = models.folder / "1" / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    found = [log.predict_log.request.model_spec.signature_name for log in logs]
    assert set(found) == {*contract.SIGNATURES, "serving_default"}
    assert models.replay_warmup() == len(found)
    single = Models(light_model.folder, functools.partial(BatchingRunner, max_batch_size=1))
    assert single.replay_warmup() == len(found)


def test_batches_of_one_picture_are_enough_for_the_client(light_model):
    single = Models(light_model.folder, functools.partial(BatchingRunner, max_batch_size=1))
    picture = PHOTO[:40, :48]
    with grpc_server(single.respond, *free_ports(1)) as address:
        remote = connect(ServerOptions(address))
        remote.check_model("lite")
        assert compress_by(remote, picture) == compress_by(
            KerasPredictor(light_model.networks), picture
        )
        two = {"picture_bytes": bytes_array(*2 * [encode_png(picture)])}
        with pytest.raises(ServerReplyError, match="larger than maximum input batch size 1"):
            remote._transport.call("segment", two)


def test_requests_of_different_sizes_share_a_batch(models):
    function, run = models.function("smapcomp", None, "analyze")
    assert isinstance(run, DirectRunner)
    batching = BatchingRunner(function, timeout=5.0, max_batch_size=4)
    pictures = [PHOTO[:24, : 16 + 8 * index] for index in range(4)]
    inputs = [{"picture_bytes": tf.constant([encode_png(picture)])} for picture in pictures]
    found: dict[int, dict] = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: batching(inputs[i])}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert batching.batches == [4]
    for index in range(4):
        alone = run(inputs[index])
        for name, value in alone.items():
            assert value.tolist() == found[index][name].tolist()


def test_rest_takes_rows_and_columns_as_curl_would_send_them(models, rest_url):
    data = encode_png(PHOTO[:24, :40])
    encoded = {"b64": base64.b64encode(data).decode()}
    for body, key in [
        ({"instances": [{"picture_bytes": encoded}, encoded][:1]}, "predictions"),
        ({"instances": [encoded]}, "predictions"),
        ({"inputs": {"picture_bytes": [encoded]}}, "outputs"),
    ]:
        request = urllib.request.Request(
            f"{rest_url}/v1/models/smapcomp:predict", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request) as reply:
            outputs = json.load(reply)[key]
        row = outputs[0] if key == "predictions" else {k: v[0] for k, v in outputs.items()}
        expected = models.run("smapcomp", None, "", {"picture_bytes": bytes_array(data)})
        assert base64.b64decode(row["compact_bytes"]["b64"]) == expected["compact_bytes"][0]
        assert row["prediction_fingerprint"] == expected["prediction_fingerprint"][0].decode()
        assert (row["height"], row["width"]) == (24, 40)


def test_options_out_of_range_are_named():
    for options, message in [
        ({"timeout": 0}, "timeout 0; allowed: more than 0"),
        ({"retries": -1}, "retries -1; allowed: more than -1"),
        ({"max_message_bytes": 0}, "max_message_bytes 0"),
    ]:
        with pytest.raises(SmapcompError, match=message):
            ServerOptions("localhost:1", **options)
