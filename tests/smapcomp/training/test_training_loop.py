"""The TensorFlow loop on a network of a few weights: learning, continuing, stopping, curves."""

import io
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from smapcomp.training.checkpoints import Checkpoints
from smapcomp.training.config_groups import CheckpointConfig, RunConfig
from smapcomp.training.errors import DivergedError, Interrupted, WorkdirError
from smapcomp.training.layerwise import layerwise
from smapcomp.training.probe import Probe
from smapcomp.training.probes.validation import validation_probe
from smapcomp.training.rules import Rules
from smapcomp.training.run_plan import RunPlan
from smapcomp.training.stages import losses
from smapcomp.training.stages.replicas import SINGLE_REPLICA
from smapcomp.training.stages.stage import Outcome, Stage
from smapcomp.training.stages.stage_optimizers import build_slots
from smapcomp.training.tf_trainer.averages import Averages
from smapcomp.training.tf_trainer.loop import StepComponents, train
from smapcomp.training.tf_trainer.progress import Progress
from smapcomp.training.tf_trainer.step import train_step
from smapcomp.training.tf_trainer.variables import run_variables

STEPS = 12


def _conv(seed, filters, **options):
    initializer = keras.initializers.GlorotUniform(seed)
    return keras.layers.Conv2D(
        filters, 3, padding="same", kernel_initializer=initializer, **options
    )


def _restorer():
    """Return a network with layers that have a state: batch normalisation and dropout."""
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    x = _conv(1, 8, use_bias=False, name="conv0")(image)
    x = layers.BatchNormalization(momentum=0.5, scale=False, name="norm")(x)
    x = layers.Dropout(0.2, seed=1, name="dropout")(layers.ReLU(name="relu")(x))
    return keras.Model(image, _conv(2, 3, name="conv1")(x), name="restorer")


def _one_layer(seed, name):
    image = keras.Input((None, None, 3), name="image")
    return keras.Model(image, _conv(seed, 3, use_bias=False, name="conv0")(image), name=name)


def _stage():
    """Return a stage with a restoring network, a critic of its output, and a frozen one between."""
    models = {
        "restorer": _restorer(),
        "critic": _one_layer(3, "critic"),
        "fixed": _one_layer(4, "fixed"),
    }

    def stage_losses(batch, training=True, replicas=SINGLE_REPLICA):
        image = batch["image"]
        restored = models["fixed"](models["restorer"](0.5 * image, training=training))
        score = models["critic"](restored, training=training)
        terms = {"l1": losses.l1(image, restored), "score": losses.mse(score, 1.0)}
        real = models["critic"](image, training=training)
        critic = losses.mse(real, 1.0) + losses.mse(score, 0.0)
        totals = {"restorer": terms["l1"] + 0.1 * terms["score"], "critic": critic}
        return Outcome(totals, terms, {"original": image, "prediction": restored})

    groups = {"restorer": ("restorer",), "critic": ("critic",)}
    return Stage("tiny", models, groups, stage_losses)


def _optimizers():
    decay = keras.optimizers.schedules.PolynomialDecay(0.01, 100)
    rules = Rules((("kernel$", 1.0), ("(bias|beta)$", 0.5)))
    return {
        "restorer": layerwise(keras.optimizers.Adam(decay), rules),
        "critic": _sgd(0.01, momentum=0.9),
    }


def _sgd(*args, **options):
    return layerwise(keras.optimizers.SGD(*args, **options), Rules())


def _batch(number):
    image = np.random.default_rng(number % 4).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    return {"image": tf.constant(image)}


def _batches(first, _=None, at=None, action=None):
    number = first
    while True:
        if number == at:
            action()
        yield _batch(number)
        number += 1


def _plan(steps=STEPS, log_every=4, profile_at=None, fixed=None, checkpoint_every=5, **checkpoint):
    checkpoint = CheckpointConfig(every=checkpoint_every, **checkpoint)
    return RunPlan(RunConfig(steps=steps), checkpoint, log_every, profile_at, fixed or {})


def _train(
    workdir, stage=None, batches=_batches, optimizers=None, probes=(), averages=None, **plan
):
    """Run a training; return all values of its networks and optimizers at the end."""
    stage = stage or _stage()
    components = StepComponents(optimizers or _optimizers(), averages=averages)
    train(stage, components, batches, str(workdir), _plan(**plan), probes)
    variables = run_variables(stage, components.optimizers, averages)
    return {k: v.numpy() for k, v in variables.items()}


def _scores(stage, batches):
    """Return the validation of a stage over some batches."""
    return validation_probe(stage, lambda _: batches, every=1).run(1, None)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """All values of the networks and optimizers after a run of 12 steps."""
    return _train(tmp_path_factory.mktemp("whole"))


def _require_identical(got, expected):
    assert got.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(got[key], expected[key], err_msg=key)


def test_training_lowers_the_loss(tmp_path):
    stage = _stage()
    batches = [_batch(n) for n in range(4)]
    before = _scores(stage, batches)["validation/l1"]
    _train(tmp_path, stage, steps=60)
    assert _scores(stage, batches)["validation/l1"] < 0.85 * before


def test_a_step_updates_each_group_by_its_own_loss_from_the_weights_before_the_step():
    stage, twin = _stage(), _stage()
    optimizers = {group: _sgd(0.1) for group in stage.groups}
    build_slots(stage, optimizers)
    values = train_step(stage, optimizers)(_batch(0))
    with tf.GradientTape(persistent=True) as tape:
        totals, _, _ = twin.losses(_batch(0), training=True)
    for group in stage.groups:
        variables = twin.variables(group)
        gradients = tape.gradient(totals[group], variables)
        for got, old, gradient in zip(stage.variables(group), variables, gradients, strict=True):
            np.testing.assert_allclose(got.numpy(), old.numpy() - 0.1 * gradient, atol=1e-6)
        norm = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
        assert float(values[f"gradient_norm/{group}"]) == pytest.approx(norm, rel=1e-4)
    for got, old in zip(stage.models["fixed"].weights, twin.models["fixed"].weights, strict=True):
        np.testing.assert_array_equal(got.numpy(), old.numpy())


def test_a_run_killed_between_checkpoints_ends_as_if_it_had_never_stopped(tmp_path, uninterrupted):
    def crash():
        raise KeyError("killed")

    with pytest.raises(KeyError):
        _train(tmp_path, batches=lambda first, _: _batches(first, at=7, action=crash))
    assert Checkpoints(str(tmp_path / "checkpoints")).steps() == [5]
    seen = []

    def rest(first, _):
        seen.append(first)
        return _batches(first)

    _require_identical(_train(tmp_path, batches=rest), uninterrupted)
    assert seen == [5]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_run_continues_as_if_it_had_not_stopped(
    tmp_path, uninterrupted, number
):
    before = signal.getsignal(number)

    def interrupt():
        os.kill(os.getpid(), number)

    with pytest.raises(Interrupted) as caught:
        _train(tmp_path, batches=lambda first, _: _batches(first, at=7, action=interrupt))
    # The signal came while batch 7 was made; that step, number 8, was finished.
    assert caught.value.step == 8
    assert Checkpoints(str(tmp_path / "checkpoints")).steps() == [5, 8]
    assert signal.getsignal(number) == before
    _require_identical(_train(tmp_path), uninterrupted)


def test_a_finished_run_loads_its_weights_and_does_nothing_more(tmp_path, uninterrupted):
    _train(tmp_path)

    def no_batches(*_):
        raise AssertionError("no batch is needed")

    _require_identical(_train(tmp_path, batches=no_batches), uninterrupted)


def test_training_runs_outside_the_main_thread_where_signals_cannot_be_caught(tmp_path):
    thread = threading.Thread(target=_train, args=(tmp_path,), kwargs={"steps": 2})
    thread.start()
    thread.join()
    assert Checkpoints(str(tmp_path / "checkpoints")).steps() == [2]


def test_only_the_newest_checkpoints_are_kept_and_leftovers_are_removed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/step-00000003.npz.tmp").write_bytes(b"half a file")
    _train(tmp_path, checkpoint_every=2, keep=3)
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000008.npz", "step-00000010.npz", "step-00000012.npz"]


def test_a_nan_stops_the_run_and_names_the_step_the_term_and_the_last_checkpoint(tmp_path):
    stage = _stage()

    def diverging(batch, training=True, replicas=SINGLE_REPLICA):
        totals, terms, outputs = stage.losses(batch, training)
        poison = batch["poison"]
        terms = {**terms, "l1": terms["l1"] + poison}
        return Outcome({**totals, "restorer": totals["restorer"] + poison}, terms, outputs)

    def batches(first, _):
        for number, batch in enumerate(_batches(first)):
            yield {**batch, "poison": tf.constant(np.nan if number == 6 else 0.0, tf.float32)}

    poisoned = Stage("tiny", stage.models, stage.groups, diverging)
    with pytest.raises(DivergedError) as caught:
        _train(tmp_path, poisoned, batches)
    checkpoint = tmp_path / "checkpoints/step-00000005.npz"
    message = str(caught.value)
    assert message.startswith("step 7: train/l1 is nan, loss/restorer is nan")
    assert "score" not in message
    assert message.endswith(f"last checkpoint: {checkpoint}")
    assert checkpoint.exists()


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path):
    stage = _stage()

    def infinite_slope(batch, training=True, replicas=SINGLE_REPLICA):
        totals, terms, outputs = stage.losses(batch, training)
        weight = stage.models["restorer"].get_layer("conv1").bias  # zeros at the start
        totals["restorer"] += tf.sqrt(tf.abs(weight[0]))
        return Outcome(totals, terms, outputs)

    broken = Stage("tiny", stage.models, stage.groups, infinite_slope)
    with pytest.raises(DivergedError, match=r"step 1: gradient_norm/restorer is nan; .*: none"):
        _train(tmp_path, broken, checkpoint_every=1)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_workdir_that_cannot_be_written_is_named_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("no folder")

    def no_batches(*_):
        raise AssertionError("no batch is needed")

    with pytest.raises(WorkdirError, match=r"file/run/checkpoints: cannot be written: Not a dir"):
        _train(tmp_path / "file/run", batches=no_batches)
    (tmp_path / "tensorboard").write_text("no folder")
    with pytest.raises(WorkdirError, match="tensorboard: cannot be written"):
        _train(tmp_path, batches=no_batches)


def test_a_checkpoint_that_cannot_be_written_leaves_the_older_ones(tmp_path, monkeypatch):
    stage = _stage()
    variables = run_variables(stage, {g: _sgd() for g in stage.groups})
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(1, variables)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkdirError, match=r"step-00000002.npz: cannot be written: No space left"):
        checkpoints.save(2, variables)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001.npz"]


def test_checkpoints_of_another_run_and_damaged_ones_are_refused(tmp_path):
    _train(tmp_path)
    others = _optimizers() | {"critic": layerwise(keras.optimizers.Adam(0.1), Rules())}
    with pytest.raises(
        WorkdirError, match="written for other networks or optimizers; optimizer/critic"
    ):
        _train(tmp_path, optimizers=others)
    newest = tmp_path / "checkpoints/step-00000012.npz"
    newest.write_bytes(newest.read_bytes()[:5000])
    with pytest.raises(WorkdirError, match=r"step-00000012.npz: not a readable checkpoint"):
        _train(tmp_path)


def _curves(workdir):
    """Return {curve: [(step, value)]}, as TensorBoard reads them."""
    (events,) = (Path(workdir) / "tensorboard").iterdir()
    curves = {}
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name in ("scalars", "")
            number = float(tf.make_ndarray(value.tensor))
            curves.setdefault(value.tag, []).append((event.step, number))
    return curves


def test_curves_hold_the_means_between_logs_and_the_learning_rates(tmp_path):
    stage, twin = _stage(), _stage()
    optimizers = _optimizers()
    build_slots(twin, optimizers)
    step = train_step(twin, optimizers)
    expected = [step(_batch(n))["train/l1"] for n in range(8)]
    probe = validation_probe(stage, lambda _: [_batch(0)], every=8)
    _train(tmp_path, stage, probes=[probe], steps=8)
    curves = _curves(tmp_path)
    rates = ("learning_rate/restorer", "learning_rate/critic")
    assert set(curves) == {
        *("train/l1", "train/score", "loss/restorer", "loss/critic"),
        *("gradient_norm/restorer", "gradient_norm/critic", *rates),
        *(f"{rates[0]}/kernel$", f"{rates[0]}/(bias|beta)$"),
        *("throughput/pictures_per_second", "memory/host_peak_gib"),
        *("validation/l1", "validation/score"),
    }
    assert all(value > 0 for _, value in curves["throughput/pictures_per_second"])
    assert 0.05 < curves["memory/host_peak_gib"][0][1] < 100
    l1 = [(4, np.mean(expected[:4])), (8, np.mean(expected[4:]))]
    np.testing.assert_allclose(curves["train/l1"], l1, rtol=1e-5)
    rates = [(4, 0.01 * 0.96 + 0.0001 * 0.04), (8, 0.01 * 0.92 + 0.0001 * 0.08)]
    np.testing.assert_allclose(curves["learning_rate/restorer"], rates, rtol=1e-5)
    halves = [(step, rate / 2) for step, rate in rates]
    np.testing.assert_allclose(curves["learning_rate/restorer/(bias|beta)$"], halves, rtol=1e-5)
    l1 = _scores(stage, [_batch(0)])["validation/l1"]
    np.testing.assert_allclose(curves["validation/l1"], [(8, l1)], rtol=1e-5)


def test_validation_weighs_batches_by_their_sizes():
    stage = _stage()
    images = np.random.default_rng(5).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    parts = _scores(stage, [{"image": images[:2]}, {"image": images[2:]}])
    whole = _scores(stage, [{"image": images}])
    assert parts["validation/l1"] == pytest.approx(whole["validation/l1"], rel=1e-5)


def test_progress_states_the_step_its_time_and_the_time_left(monkeypatch):
    clock = iter([0.0, 30.0, 32.0, 34.0])
    monkeypatch.setattr("smapcomp.training.tf_trainer.progress.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    progress = Progress("stage1", 0, 3603, stream)
    for step in (1, 2, 3):
        progress.update(step, {"l1": 0.25})
    progress.line({"l1": 0.25})
    assert stream.getvalue().startswith("stage1 3/3603 [>")
    # A step takes two seconds; the thirty of the first one are compilation.
    assert stream.getvalue().endswith("]  2 s/step, 2 h 00 min left  l1 0.25\n")


def test_plans_and_optimizers_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="log_every must be at least 1, got 0"):
        RunPlan(RunConfig(steps=1), log_every=0)
    with pytest.raises(ValueError, match=r"optimizers for \['critic'\], groups \['critic', 're"):
        _train(tmp_path, optimizers={"critic": _sgd()})
    with pytest.raises(
        ValueError, match="best_is 'most' is not allowed; it must be one of 'max', "
    ):
        CheckpointConfig(best_is="most")
    with pytest.raises(ValueError, match=r"run.steps, .epochs and .seconds are all 0; set one"):
        RunConfig()
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        Probe(0, None)


def test_a_best_metric_that_no_validation_gives_is_named_at_the_first_one(tmp_path):
    probe = Probe(1, lambda *_: {"validation/psnr": 1.0})
    with pytest.raises(
        ValueError, match=r"'validation/pnsr' is no curve of a probe; allowed: validation/psnr"
    ):
        _train(tmp_path, probes=[probe], best_metric="validation/pnsr")


@pytest.mark.parametrize(("best_is", "step"), [("max", 6), ("min", 9)])
def test_the_best_checkpoint_outlives_the_newest_ones_and_a_restart(tmp_path, best_is, step):
    scores = {3: 1.0, 6: 5.0, 9: 0.5, 12: 2.0}
    probe = Probe(3, lambda step, _: {"score": scores[step]})
    options = {"probes": [probe], "best_metric": "score", "best_is": best_is, "keep": 1}
    _train(tmp_path / "run", steps=6, checkpoint_every=3, **options)
    _train(tmp_path / "run", checkpoint_every=3, **options)
    folder = tmp_path / "run/checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["best.npz", "step-00000012.npz"]
    with np.load(folder / "best.npz") as best:
        assert (int(best["step"]), float(best["score"])) == (step, scores[step])


def test_a_run_continues_only_with_the_fields_that_it_began_with(tmp_path):
    _train(tmp_path, steps=2, fixed={"seed": 1, "batch_size": 2})
    message = (
        r"its run has batch_size 2, not 4; continue with the same value or use another workdir"
    )
    with pytest.raises(WorkdirError, match=message):
        _train(tmp_path, fixed={"seed": 1, "batch_size": 4})
    with pytest.raises(WorkdirError, match="its run has seed 1, not null"):
        _train(tmp_path, fixed={"batch_size": 2})


def test_a_run_ends_with_the_limit_that_is_reached_first():
    run = RunConfig(steps=100, seconds=50.0)
    assert [run.position(10, 0.0), run.position(10, 20.0), run.position(90, 20.0)] == [10, 40, 90]
    assert run.position(10, 51.0) == run.position(100, 1.0) == run.span == 100
    by_time = RunConfig(seconds=50.0)
    assert by_time.position(10, 25.0) == by_time.span / 2
    assert by_time.position(10**9, 0.0) == 0


def test_a_full_disk_ends_the_run_before_the_first_step(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=2**14)
    monkeypatch.setattr("smapcomp.training.checkpoints.shutil.disk_usage", lambda _: usage)

    def no_batches(*_):
        raise AssertionError("no batch is needed")

    with pytest.raises(
        WorkdirError, match=r"checkpoints: 0.0 MiB free; 3 more checkpoints need 0.0"
    ):
        _train(tmp_path, batches=no_batches)


def test_averages_follow_the_weights_and_are_validated_and_kept(tmp_path):
    stage, twin = _stage(), _stage()
    trained = [v for group in stage.groups for v in stage.variables(group)]
    averages = Averages(trained, decay=0.9)
    seen = []

    def probe(step, _):
        seen.append((step, trained[0].numpy().copy()))
        return {}

    _train(
        tmp_path, stage, probes=[Probe(3, probe)], averages=averages, steps=6, checkpoint_every=3
    )
    optimizers = _optimizers()
    build_slots(twin, optimizers)
    step = train_step(twin, optimizers)
    weight = twin.variables("restorer")[0]
    expected = {0: weight.numpy()}
    for n in range(6):
        step(_batch(n))
        keep = min(0.9, (1 + n) / (10 + n))
        expected[n + 1] = keep * expected[n] + (1 - keep) * weight.numpy()
    assert [at for at, _ in seen] == [3, 6]
    for at, value in seen:
        np.testing.assert_allclose(value, expected[at], atol=1e-6)
    np.testing.assert_allclose(trained[0].numpy(), expected[6], atol=1e-6)
    with np.load(tmp_path / "checkpoints/step-00000006.npz") as saved:
        np.testing.assert_allclose(saved["restorer/conv0/kernel"], weight.numpy(), atol=1e-6)


def test_a_run_with_averages_continues_as_if_it_had_never_stopped(tmp_path):
    def run(folder, steps):
        stage = _stage()
        trained = [v for group in stage.groups for v in stage.variables(group)]
        averages = Averages(trained, decay=0.9)
        return _train(tmp_path / folder, stage, averages=averages, steps=steps)

    whole = run("whole", 6)
    run("parts", 4)
    _require_identical(run("parts", 6), whole)


def test_steps_skipped_by_a_loss_scale_are_no_divergence_and_the_scale_is_saved(tmp_path):
    stage = _stage()

    def steep(batch, training=True, replicas=SINGLE_REPLICA):
        totals, terms, outputs = stage.losses(batch, training)
        return Outcome({group: 30.0 * total for group, total in totals.items()}, terms, outputs)

    optimizers = {
        group: keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1e38)
        for group, optimizer in _optimizers().items()
    }
    before = stage.models["restorer"].get_layer("conv1").kernel.numpy()
    steep_stage = Stage("tiny", stage.models, stage.groups, steep)
    result = _train(tmp_path, steep_stage, optimizers=optimizers, log_every=12)
    curves = _curves(tmp_path)
    ((_, skipped),) = curves["loss_scale/skipped_steps"]
    assert 0 < skipped < STEPS
    assert np.isfinite(curves["gradient_norm/restorer"]).all()
    scales = [value for key, value in result.items() if key.endswith("dynamic_scale")]
    assert len(scales) == 2
    assert all(1 < scale < 1e38 for scale in scales)
    assert not np.array_equal(before, stage.models["restorer"].get_layer("conv1").kernel)


def test_a_profile_is_written_where_tensorboard_looks_for_it(tmp_path):
    _train(tmp_path, steps=4, profile_at=2)
    assert list((tmp_path / "tensorboard/plugins/profile").glob("*/*.xplane.pb"))
