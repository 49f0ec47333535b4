"""Curves, pictures and text of a run, read back from its event files."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from smapcomp import metrics
from smapcomp.ade20k import PALETTE
from smapcomp.design import max_level
from smapcomp.models.precision import with_precision
from smapcomp.training.config_groups import LossWeights, RunConfig
from smapcomp.training.layerwise import layerwise
from smapcomp.training.probes.coding import coding_probe
from smapcomp.training.probes.histograms import histogram_probe
from smapcomp.training.probes.pictures import picture_probe
from smapcomp.training.probes.validation import validation_probe
from smapcomp.training.rules import Rules
from smapcomp.training.run_plan import RunPlan
from smapcomp.training.stages import codec_stages, label_stages
from smapcomp.training.stages.rate_model import build_rate_model
from smapcomp.training.tf_trainer.graph import forward_graph
from smapcomp.training.tf_trainer.loop import StepComponents, train
from smapcomp.training.tf_trainer.summaries import BUCKETS, Summaries
from smapcomp.zoo import VARIANTS
from tests.helpers import light_networks
from tests.helpers.event_files import written_graphs, written_tensors

SIDE = 176
"""Side of the pictures in pixels; MS-SSIM needs 161."""

WEIGHTS = LossWeights(gan=0, feature_matching=0, perceptual=0, log_mse=1, rate=2)


def _batch(count=2):
    rng = np.random.default_rng(4)
    image = rng.uniform(-1, 1, (count, SIDE // 8, SIDE // 8, 3)).repeat(8, 1).repeat(8, 2)
    labels = rng.integers(0, 151, (count, SIDE // 8, SIDE // 8)).repeat(8, 1).repeat(8, 2)
    return {"image": image.astype(np.float32), "label_map": labels.astype(np.int32)}


def _codec_models(step=8):
    keras.utils.set_random_seed(2)
    models = {"compnet": light_networks.build_compnet("")}
    models["compnet"].get_layer("mix").kernel.assign(0.8 * np.eye(3)[None, None])
    models["finenet"] = light_networks.build_finenet("")
    detail = models["finenet"].get_layer("detail").kernel
    detail.assign(0.1 * detail)
    return models | {"rate": build_rate_model(max_level(step), 8)}


def _label_models():
    models = {"segmenter": light_networks.build_pspnet("")}
    return models | {"smapnet": light_networks.build_smapnet("classes", None)}


def _train(stage, workdir, probes, graph=None):
    (group,) = stage.groups
    components = StepComponents({group: layerwise(keras.optimizers.SGD(1e-3), Rules())})
    batch = {key: tf.constant(value) for key, value in _batch().items()}
    plan = RunPlan(RunConfig(steps=1))
    train(stage, components, lambda *_: iter([batch]), workdir, plan, probes, "`seed` 0", graph)


@pytest.fixture(scope="module")
def stage1(tmp_path_factory):
    """A stage 1 after one step, its validation pictures and the events of its file."""
    stage = codec_stages.stage1(_codec_models(), WEIGHTS, 8)
    batch, workdir = _batch(), tmp_path_factory.mktemp("stage1")
    probes = [picture_probe(stage, batch, 1), validation_probe(stage, lambda _: [batch], 1)]
    probes.append(coding_probe(stage, _codec_models, VARIANTS["lite"], batch, 1))
    _train(stage, workdir, probes)
    return stage, batch, written_tensors(workdir)


def _written_pictures(events, name):
    plugin, value = events[f"pictures/{name}"][1]
    assert plugin == "images"
    assert [int(side) for side in value[:2]] == [SIDE, SIDE]
    return np.stack([tf.io.decode_png(png).numpy() for png in value[2:]])


def _pixels(signal):
    return np.clip(np.floor((np.asarray(signal) + 1) * 127.5 + 0.5), 0, 255).astype(np.uint8)


def test_pictures_of_stage1_are_those_that_its_networks_make(stage1):
    stage, batch, events = stage1
    outputs = stage.losses(batch, training=False).outputs
    original, prediction = _pixels(batch["image"]), _pixels(outputs["prediction"])
    np.testing.assert_array_equal(_written_pictures(events, "original"), original)
    # Another compilation may round to a neighbouring level.
    for name, expected in (
        ("prediction", prediction),
        ("upsampled", _pixels(outputs["upsampled"])),
    ):
        assert np.abs(_written_pictures(events, name).astype(int) - expected).max() <= 1
    residual = np.abs(original.astype(int) - _written_pictures(events, "prediction").astype(int))
    np.testing.assert_array_equal(_written_pictures(events, "residual"), residual)
    np.testing.assert_array_equal(_written_pictures(events, "labels"), PALETTE[batch["label_map"]])
    assert residual.mean() > 1


def test_validation_scores_are_those_of_the_written_pictures(stage1):
    _, _, events = stage1
    scores = {k.removeprefix("validation/"): v[1][1] for k, v in events.items() if "valid" in k}
    pairs = list(
        zip(
            _written_pictures(events, "original"),
            _written_pictures(events, "prediction"),
            strict=True,
        )
    )
    # The scores are of values that are not rounded to 8 bits.
    assert scores["psnr"] == pytest.approx(np.mean([metrics.psnr(*p) for p in pairs]), abs=0.02)
    ms_ssim = np.mean([metrics.ms_ssim(*pair) for pair in pairs])
    assert scores["ms_ssim"] == pytest.approx(ms_ssim, abs=2e-3)
    # Levels of blocks are independent; only the shape of their differences saves bits.
    assert 0.1 < scores["compact_entropy_bpp"] < 3 * np.log2(2 * 33) / 64
    assert scores["rate"] > 0


def test_the_real_codec_codes_pictures_with_the_networks_in_training(stage1):
    _, _, events = stage1
    scores = {k.removeprefix("codec/"): float(v[1][1]) for k, v in events.items() if "codec/" in k}
    assert scores["bpp"] > scores["compact_bpp"] + scores["labels_bpp"] + scores["residual_bpp"]
    pairs = zip(
        _written_pictures(events, "original"), _written_pictures(events, "prediction"), strict=True
    )
    predicted = np.mean([metrics.psnr(*pair) for pair in pairs])
    # The codec may take more or less of the correction in a block, where that is better.
    assert predicted - 0.02 < scores["prediction_psnr"] < predicted + 1
    assert scores["psnr"] > scores["prediction_psnr"] + 1
    assert 0 < scores["ms_ssim"] <= 1
    # This is about the entropy of random levels, of which there are 33.
    assert 0.8 * 3 * np.log2(33 * 0.8) / 64 < scores["compact_bpp"] < 3 * 8 / 64


def test_the_configuration_is_written_as_text(stage1):
    ((step, (plugin, text)),) = stage1[2]["config"].items()
    assert (step, plugin, text.item()) == (0, "text", b"`seed` 0")


def test_label_maps_are_written_and_scored_before_and_after_smapnet(tmp_path):
    models = _label_models() | {"compnet": light_networks.build_compnet("")}
    stage, batch = label_stages.stage2(models, 8), _batch()
    _train(
        stage,
        tmp_path,
        [picture_probe(stage, batch, 1), validation_probe(stage, lambda _: [batch], 1)],
    )
    events = written_tensors(tmp_path)
    outputs = {k: np.asarray(v) for k, v in stage.losses(batch, training=False).outputs.items()}
    for name in ("labels_before", "labels_after"):
        written = _written_pictures(events, name)[:, 4::8, 4::8]
        same = (written == PALETTE[outputs[name]]).all(-1)
        assert same.mean() > 0.98  # two classes can be nearly equally likely
        found = metrics.confusion_matrix(outputs["labels"], outputs[name])
        curve = name.removeprefix("labels_")
        iou, accuracy = (
            events[f"validation/{score}_{curve}"][1][1] for score in ("mean_iou", "pixel_accuracy")
        )
        assert iou == pytest.approx(metrics.mean_iou(found), abs=2e-3)
        assert accuracy == pytest.approx(metrics.pixel_accuracy(found), abs=5e-3)


def test_stage3_is_coded_with_labels_that_the_decoder_finds_in_float32(tmp_path):
    def build():
        return _codec_models() | _label_models()

    stage = codec_stages.stage3(with_precision(build, "bfloat16"), WEIGHTS, 8)
    batch = {key: value[:1, :64, :64] for key, value in _batch().items()}
    probe = coding_probe(stage, build, VARIANTS["lite"], batch, 1, quality=0)
    scores = probe.run(1, None)
    # The stream has only the compact layer and the header; the picture is the prediction.
    assert scores["codec/residual_bpp"] == 0
    assert scores["codec/psnr"] == scores["codec/prediction_psnr"]
    assert "codec/labels_bpp" not in scores
    stage.models["compnet"].get_layer("mix").kernel.assign(np.zeros((1, 1, 3, 3)))
    flat = probe.run(2, None)
    assert flat["codec/compact_bpp"] < 0.5 * scores["codec/compact_bpp"]
    with pytest.raises(ValueError, match="stage 'stage2' codes no pictures; allowed: stage1, st"):
        coding_probe(label_stages.stage2({}), build, VARIANTS["lite"], batch, 1)


def test_histograms_of_trained_weights_have_the_names_of_rules(tmp_path):
    stage = codec_stages.stage1(_codec_models(), WEIGHTS, 8)
    _train(stage, tmp_path, [histogram_probe(stage, 1)])
    events = written_tensors(tmp_path)
    found = {
        name: by_step[1][1]
        for name, by_step in events.items()
        if [plugin for plugin, _ in by_step.values()] == ["histograms"]
    }
    (group,) = stage.groups
    assert found.keys() == set(stage.names(group))
    assert "finenet/detail/kernel" in found
    for name, variable in zip(stage.names(group), stage.variables(group), strict=True):
        values = np.asarray(variable.value)
        left, right, count = found[name].T
        assert count.sum() == values.size
        assert (left[0], right[-1]) == pytest.approx((values.min(), values.max()), abs=1e-6)
    # Counts are those of a brute-force search, apart from values at the edges of buckets.
    values = np.asarray(stage.models["finenet"].get_layer("detail").kernel.value).astype(np.float64)
    for left, right, count in found["finenet/detail/kernel"]:
        inside = ((left + 1e-6 < values) & (values < right - 1e-6)).sum()
        assert inside <= count <= ((left - 1e-6 <= values) & (values <= right + 1e-6)).sum()


def test_histograms_of_one_value_and_of_values_that_are_not_finite(tmp_path):
    summaries = Summaries(str(tmp_path / "tensorboard"))
    broken = np.array([1, np.nan, 2, np.inf, 2])
    summaries.histograms(3, {"flat": np.full((2, 5), 7.0), "broken": broken, "empty": np.zeros(0)})
    summaries.close()
    found = {name: by_step[3][1] for name, by_step in written_tensors(tmp_path).items()}
    assert (found["flat"][:, :2] == 7).all()
    assert found["flat"][:, 2].tolist() == [0] * (BUCKETS - 1) + [10]
    assert found["broken"][[0, -1], 2].tolist() == [1, 2]
    assert found["empty"][:, 2].sum() == 0


def test_the_graph_has_the_networks_in_training(tmp_path):
    stage, batch = codec_stages.stage1(_codec_models(), WEIGHTS, 8), _batch(1)
    _train(stage, tmp_path, [], forward_graph(stage, batch))
    (graph,) = written_graphs(tmp_path)
    nodes = {node.name: node.op for node in graph.node}
    for role, layer in (("compnet", "mix"), ("finenet", "detail")):
        # TensorFlow numbers scopes that have one name.
        scope = re.compile(rf"{role}(_\d+)?/{layer}(_\d+)?/")
        assert "Conv2D" in {op for name, op in nodes.items() if scope.match(name)}
    assert stage.models["compnet"].name != "compnet"  # the network has its own name again
