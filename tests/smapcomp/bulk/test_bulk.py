"""The bulk job: the bytes of `smapcomp compress`, no picture lost and none made twice."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from unittest import mock

import numpy as np
import pytest
from PIL import Image

import smapcomp
from smapcomp import zoo
from smapcomp.bulk import files, manifest, plan
from smapcomp.bulk.manifest import ManifestEntry
from smapcomp.bulk.plan import Task
from smapcomp.errors import SmapcompError
from smapcomp.pictures.image_files import read_picture
from smapcomp.predictors.onnx_predictor import OnnxPredictor
from tests.helpers.bulk_job import THREADS, bulk
from tests.helpers.memory_files import MemoryFiles
from tests.helpers.paths import ROOT
from tests.helpers.pictures import encode_image, smooth_picture

QUICK = ("--quality=30", "--speed=10")


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def statuses(path):
    return {os.path.basename(row["output"]): row["status"] for row in rows_of(path)}


def files_below(folder):
    return {str(p.relative_to(folder)): p for p in sorted(folder.rglob("*")) if p.is_file()}


def write_pictures(root):
    """Write pictures of several formats and bit depths in nested folders, one of them corrupt."""
    (root / "sub/deep").mkdir(parents=True)
    (root / "a.jpg").write_bytes(encode_image(smooth_picture(1, 40, 56), "JPEG", quality=95))
    (root / "b.png").write_bytes(encode_image(smooth_picture(2, 33, 47)))
    (root / "sub/c.webp").write_bytes(
        encode_image(smooth_picture(3, 24, 80)[..., 0], "WEBP", lossless=True)
    )
    Image.fromarray(np.full((32, 40), 40000, np.uint16)).save(root / "sub/deep/d.png")
    (root / "sub/e.jpg").write_bytes((root / "a.jpg").read_bytes()[:-300])


NAMES = {
    "a.smc": "a.jpg",
    "b.smc": "b.png",
    "sub/c.smc": "sub/c.webp",
    "sub/deep/d.smc": "sub/deep/d.png",
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The bundled weights under another path, so that no other test has loaded them."""
    link = tmp_path_factory.mktemp("weights") / "lite"
    link.symlink_to(zoo.BUNDLED_WEIGHTS / "lite")
    return link


@pytest.fixture(scope="module")
def command(weights):
    """Function that runs the job on two threads with those weights."""
    return lambda *arguments: bulk(f"--weights_dir={weights}", *THREADS, *arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory, command):
    """A run over all pictures: input folder, output folder, result, loads of each network."""
    root = tmp_path_factory.mktemp("bulk")
    write_pictures(root / "in")
    loads = Counter()
    load = OnnxPredictor._load_network

    def counted(self, role):
        loads[role] += 1
        return load(self, role)

    logger = logging.getLogger("smapcomp")
    before = logger.level, logger.propagate, list(logger.handlers)
    with mock.patch.object(OnnxPredictor, "_load_network", counted):
        result = command(f"--input={root}/in/**/*", f"--output={root}/out", *QUICK)
    assert (logger.level, logger.propagate, logger.handlers) == before
    return root / "in", root / "out", result, loads


@pytest.fixture
def copied(done, tmp_path):
    """Copies of the folders of that run, which a test may change."""
    source, out, _, _ = done
    for folder, name in ((source, "in"), (out, "out")):
        subprocess.run(["cp", "-a", folder, tmp_path / name], check=True)
    return tmp_path / "in", tmp_path / "out"


def test_outputs_are_the_bytes_of_compress_in_the_folders_of_the_inputs(done, weights):
    source, out, _, _ = done
    assert set(files_below(out)) == {*NAMES, "bulk.json", "manifest.jsonl"}
    for target, name in NAMES.items():
        picture = read_picture(source / name)
        expected = smapcomp.compress(picture, quality=30, speed=10, weights_dir=str(weights))
        assert (out / target).read_bytes() == expected


def test_the_manifest_has_every_input_and_the_counts_are_printed(done):
    source, out, (status, printed, errors), _ = done
    rows = {os.path.relpath(row["input"], source): row for row in rows_of(out / "manifest.jsonl")}
    assert list(rows) == sorted([*NAMES.values(), "sub/e.jpg"])
    for target, name in NAMES.items():
        row = rows[name]
        size = (out / target).stat().st_size
        with Image.open(source / name) as image:
            assert (row["width"], row["height"]) == image.size
        assert row["output"] == str(out / target)
        assert (row["status"], row["error"]) == ("written", None)
        assert (row["bytes_in"], row["bytes_out"]) == ((source / name).stat().st_size, size)
        assert row["bpp"] == pytest.approx(8 * size / (row["width"] * row["height"]), abs=1e-6)
        assert row["seconds"] > 0
    assert [rows[name]["notices"] for name in NAMES.values()] == [
        *[[]] * 3,
        ["16-bit samples are rounded to 8 bits"],
    ]
    failed = rows["sub/e.jpg"]
    assert failed["status"] == "failed"
    assert failed["error"].startswith("truncated or damaged")
    assert (failed["bytes_out"], failed["bpp"], failed["width"]) == (None, None, None)
    assert status == 1
    assert printed.startswith("read 5 = written 4 + skipped 0 + failed 1; ")
    assert errors.splitlines() == [
        f"failed: {source}/sub/e.jpg: {failed['error']}",
        f"bulk: 1 of 5 failed; see {out}/manifest.jsonl",
    ]


def test_threads_of_one_process_load_each_network_once(done):
    loads = done[3]
    assert {"segmenter", "smapnet"} < set(loads)
    assert set(loads.values()) == {1}


def test_decompression_restores_what_smapcomp_decompress_does(done, command, tmp_path, weights):
    _, out, _, _ = done
    back = tmp_path / "back"
    status, printed, errors = command(f"--input={out}/**/*.smc", f"--output={back}", "--decompress")
    assert (status, errors) == (0, "")
    assert printed.startswith("read 4 = written 4 + skipped 0 + failed 0; ")
    rows = {row["input"]: row for row in rows_of(back / "manifest.jsonl")}
    for target in NAMES:
        data = (out / target).read_bytes()
        path = (back / target).with_suffix(".png")
        samples = read_picture(path).to_array()
        expected = smapcomp.decompress(data, weights_dir=str(weights))
        np.testing.assert_array_equal(samples, expected)
        row = rows[str(out / target)]
        height, width, _ = samples.shape
        assert row["bpp"] == pytest.approx(8 * len(data) / (width * height), abs=1e-6)
        assert row["bytes_out"] == path.stat().st_size
    # A second run with another limit, which changes no picture, replaces only the damaged output.
    damaged = back / "sub/c.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-30])
    arguments = (f"--input={out}/**/*.smc", f"--output={back}", "--decompress")
    assert command(*arguments, "--max_seconds=1000")[0] == 0
    found = statuses(back / "manifest.jsonl")
    assert found == {"a.png": "skipped", "b.png": "skipped", "c.png": "written", "d.png": "skipped"}
    assert damaged.read_bytes() == whole


def test_a_second_run_does_what_is_missing_damaged_or_outdated(copied, command):
    source, out = copied
    before = {name: path.read_bytes() for name, path in files_below(out).items()}
    inodes = {name: (out / name).stat().st_ino for name in NAMES}
    (out / "a.smc").unlink()
    (out / "b.smc").write_bytes(before["b.smc"][:-1])
    (source / "sub/c.webp").write_bytes(
        encode_image(smooth_picture(9, 24, 80)[..., 0], "WEBP", lossless=True)
    )
    (source / "sub/e.jpg").unlink()
    # A temporary file of a killed run, and a file that is not the job's.
    (out / ".a.smc.0a1b2c3d.tmp").write_bytes(b"half")
    (out / ".mine.tmp").write_bytes(b"mine")
    arguments = (f"--input={source}/**/*", f"--output={out}", *QUICK)
    status, printed, errors = command(*arguments)
    assert (status, errors) == (0, "")
    assert printed.startswith("read 4 = written 3 + skipped 1 + failed 0; ")
    found = statuses(out / "manifest.jsonl")
    assert found == {"a.smc": "written", "b.smc": "written", "c.smc": "written", "d.smc": "skipped"}
    after = {name: path.read_bytes() for name, path in files_below(out).items()}
    assert set(after) == set(before) | {".mine.tmp"}
    for name in ("a.smc", "b.smc", "sub/deep/d.smc"):
        assert after[name] == before[name]
    assert after["sub/c.smc"] != before["sub/c.smc"]
    assert (out / "sub/deep/d.smc").stat().st_ino == inodes["sub/deep/d.smc"]
    skipped = rows_of(out / "manifest.jsonl")[-1]
    assert (skipped["width"], skipped["height"], skipped["seconds"]) == (40, 32, None)
    assert skipped["bpp"] == pytest.approx(8 * skipped["bytes_out"] / (40 * 32), abs=1e-6)


def test_other_options_need_overwrite_which_continues_without_the_flag(copied, command, weights):
    source, out = copied
    (source / "sub/e.jpg").unlink()
    arguments = (f"--input={source}/**/*", f"--output={out}", "--speed=10", "--quality=20")
    before = {name: path.read_bytes() for name, path in files_below(out).items()}
    status, printed, errors = command(*arguments)
    assert (status, printed) == (1, "")
    assert errors == (
        f"bulk: {out}/bulk.json: the folder's outputs were made with quality=30, not "
        "quality=20; --overwrite makes all outputs again, another --output keeps these"
    )
    assert {name: path.read_bytes() for name, path in files_below(out).items()} == before
    failing = mock.patch("smapcomp.bulk.pipeline.run_pipeline", side_effect=SmapcompError("lost"))
    with failing:
        assert command(*arguments, "--overwrite")[2] == "bulk: lost"
    assert (out / "a.smc").read_bytes() == before["a.smc"]
    status, printed, _ = command(*arguments)
    assert printed.startswith("read 4 = written 4 + skipped 0 + failed 0; ")
    picture = read_picture(source / "a.jpg")
    expected = smapcomp.compress(picture, quality=20, speed=10, weights_dir=str(weights))
    assert (out / "a.smc").read_bytes() == expected
    assert command(*arguments)[1].startswith("read 4 = written 0 + skipped 4 + failed 0; ")


def test_a_full_disk_fails_pictures_and_leaves_no_partial_output(copied, command, monkeypatch):
    source, out = copied
    for name in NAMES:
        (out / name).unlink()
    copy = files.shutil.copyfileobj

    def full(read, write, size):
        if ".smc." in getattr(write, "name", ""):
            write.write(read.read(10))
            raise OSError(28, "No space left on device")
        copy(read, write, size)

    arguments = (f"--input={source}/**/*", f"--output={out}", *QUICK)
    with mock.patch.object(files.shutil, "copyfileobj", full):
        status, printed, _ = command(*arguments)
    assert status == 1
    assert printed.startswith("read 5 = written 0 + skipped 0 + failed 5; ")
    assert "No space left on device" in rows_of(out / "manifest.jsonl")[0]["error"]
    assert set(files_below(out)) == {"bulk.json", "manifest.jsonl"}
    assert command(*arguments)[1].startswith("read 5 = written 4 + skipped 0 + failed 1; ")


def test_files_may_lie_on_any_file_system_of_beam(done, command):
    source, out, _, _ = done
    MemoryFiles.files.clear()
    for name in (*NAMES.values(), "sub/e.jpg"):
        MemoryFiles.files[f"memory://in/{name}"] = ((source / name).read_bytes(), 1.0)
    arguments = ("--input=memory://in/**/*", "--output=memory://out/here", *QUICK)
    status, printed, errors = command(*arguments)
    assert status == 1
    assert errors.startswith("failed: memory://in/sub/e.jpg: truncated or damaged")
    assert printed.endswith("memory://out/here/manifest.jsonl\n")
    made = {path for path in MemoryFiles.files if path.startswith("memory://out")}
    places = (*NAMES, "bulk.json", "manifest.jsonl")
    assert made == {f"memory://out/here/{name}" for name in places}
    for name in NAMES:
        assert MemoryFiles.files[f"memory://out/here/{name}"][0] == (out / name).read_bytes()
    # A new picture replaces its output, although this file system does not rename over files.
    MemoryFiles.files["memory://in/a.jpg"] = ((source / "b.png").read_bytes(), time.time())
    assert "= written 1 + skipped 3 + failed 1; " in command(*arguments)[1]
    replaced = MemoryFiles.files["memory://out/here/a.smc"][0]
    assert replaced == (out / "b.smc").read_bytes()


def test_a_job_service_runs_the_pipeline_as_flink_and_spark_do(done, tmp_path, weights):
    from apache_beam.runners.portability.local_job_service import LocalJobServicer

    source, out, _, _ = done
    service = LocalJobServicer()
    port = service.start_grpc_server()
    try:
        status, printed, _ = bulk(
            f"--input={source}/*",
            f"--output={tmp_path}/out",
            f"--weights_dir={weights}",
            *QUICK,
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{port}",
            "--environment_type=LOOPBACK",
        )
    finally:
        service.stop()
    assert status == 0
    assert printed.startswith("read 2 = written 2 + skipped 0 + failed 0; ")
    for name in ("a.smc", "b.smc"):
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes()


COUNTING = """
import os
from smapcomp.predictors.onnx_predictor import OnnxPredictor
load = OnnxPredictor._load_network
def counted(self, role):
    with open(os.environ["LOADS"], "a") as file:
        file.write(f"{os.getpid()} {role}\\n")
    return load(self, role)
OnnxPredictor._load_network = counted
"""


def test_a_killed_run_of_processes_continues_and_each_loads_the_networks_once(command, tmp_path):
    source, out, loads = tmp_path / "in", tmp_path / "out", tmp_path / "loads"
    source.mkdir()
    for number in range(40):
        (source / f"{number:02}.png").write_bytes(encode_image(smooth_picture(number, 24, 32)))
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    # The mode "none" needs few networks, which are loaded quickly.
    arguments = [f"--input={source}/*.png", f"--output={out}", "--mode=none", *QUICK]
    process = subprocess.Popen(
        [sys.executable, "-m", "smapcomp.bulk", "--workers=2", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "LOADS": str(loads)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while process.poll() is None and len(list(out.glob("*.smc"))) < 5:
            time.sleep(0.01)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    counts = Counter(loads.read_text().splitlines())
    assert set(counts.values()) == {1}, counts
    made = {path: path.stat().st_ino for path in out.glob("*.smc")}
    assert len(made) >= 5
    assert command(*arguments)[0] == 0
    assert all(path.stat().st_ino == inode for path, inode in made.items())
    found = Counter(statuses(out / "manifest.jsonl").values())
    assert found["skipped"] == len(made)
    assert found["skipped"] + found["written"] == 40
    names = {f"{number:02}.smc" for number in range(40)} | {"bulk.json", "manifest.jsonl"}
    assert set(files_below(out)) == names
    assert (out / "39.smc").read_bytes() == smapcomp.compress(
        read_picture(source / "39.png"), quality=30, speed=10, mode="none"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--qualty=40"], "unknown: --qualty"),
        (["stray"], "unknown: stray"),
        (["--quality=200"], "flag --quality=200: 200 is not an integer in the range [0, 100]"),
        (["--quality=3", "--target_bpp=1"], "--quality and --target_bpp together; one of them"),
        (["--lossless", "--target_bpp=1"], "target_bpp with lossless"),
        (["--stage=full"], "--stage has no meaning without --decompress"),
        (["--decompress", "--quality=3"], "--quality has no meaning with --decompress"),
        (["--decompress", "--format=gif"], "--format=gif"),
        (["--runner=FlinkRuner"], "Unexpected pipeline runner: FlinkRuner"),
        (["--runner=DataflowRunner"], "Missing required option: project"),
        (["--direct_num_workers=many"], "--direct_num_workers: invalid int value: 'many'"),
        (["--direct_running_mode=none"], "--direct_running_mode: invalid choice: 'none'"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_status_2(tmp_path, arguments, message):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    status, printed, errors = bulk(f"--input={tmp_path}/*", f"--output={tmp_path}/out", *arguments)
    assert (status, printed) == (2, "")
    assert errors.startswith("bulk: ")
    assert message in errors
    assert errors.count("\n") == 0
    assert set(files_below(tmp_path)) == {"a.png"}


def test_an_impossible_run_is_one_line_before_any_work(tmp_path):
    for name in ("a.jpg", "a.png", "x/b.png", "y/b.png", "out/b.smc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"not looked at")
    out = f"--output={tmp_path}/out"
    before = set(files_below(tmp_path))
    for arguments, message in [
        ([f"--input={tmp_path}/*.bmp", out], f"--input={tmp_path}/*.bmp: matches no file"),
        ([f"--input={tmp_path}", out], f"is a folder; all files in it are '{tmp_path}/**'"),
        (
            [f"--input={tmp_path}/a.*", out],
            f"{tmp_path}/a.jpg and {tmp_path}/a.png would both become {tmp_path}/out/a.smc",
        ),
        (
            [f"--input={tmp_path}/x/*", f"--input={tmp_path}/y/*", out],
            f"{tmp_path}/x/b.png and {tmp_path}/y/b.png would both become {tmp_path}/out/b.smc",
        ),
        ([f"--input={tmp_path}/x/*", out], f"{tmp_path}/out/b.smc: exists, and no bulk.json says"),
        (
            [f"--input={tmp_path}/out/*.smc", out],
            f"{tmp_path}/out/b.smc: would be its own output; give another --output",
        ),
        ([f"--input={tmp_path}/x/*", out, "--variant=paper"], "no weights for variant 'paper'"),
        ([f"--input={tmp_path}/x/*", out, "--weights_dir=nowhere"], "nowhere: no such folder"),
        (["--input=nofs://x/*", out], "Unable to get filesystem from specified path"),
    ]:
        status, printed, errors = bulk(*arguments)
        assert (status, printed) == (1, ""), errors
        assert errors.startswith("bulk: ")
        assert message in errors
        assert errors.count("\n") == 0
        assert set(files_below(tmp_path)) == before


def test_patterns_match_pictures_at_any_depth_and_never_the_outputs(tmp_path, monkeypatch):
    """`**/` stands for no folder too; outputs lie below the part before the first wildcard."""
    for name in ("a.png", "x/b.png", "x/y/c.png", "x/y/d.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"1")
    settings = mock.Mock(spec=[])

    def planned(pattern, output):
        made = plan.make_plan([pattern], output, ".smc", settings, f"{output}/manifest.jsonl")
        return {task.source: task.target for task in made.tasks}

    monkeypatch.chdir(tmp_path)
    assert planned("in/**/*.png", "o") == {
        "in/a.png": "o/a.smc",
        "in/x/b.png": "o/x/b.smc",
        "in/x/y/c.png": "o/x/y/c.smc",
    }
    assert planned("in/x/*/*", "o") == {"in/x/y/c.png": "o/y/c.smc", "in/x/y/d.txt": "o/y/d.smc"}
    assert planned(f"{tmp_path}/in/x/b.png", "o") == {f"{tmp_path}/in/x/b.png": "o/b.smc"}
    monkeypatch.chdir(tmp_path / "in")
    assert planned("*.png", "o") == {"a.png": "o/a.smc"}
    # Inputs and outputs in one folder, with the files that a run may leave.
    for name in ("manifest.jsonl", ".bulk_plan.jsonl", ".a.smc.0a1b2c3d.tmp"):
        (tmp_path / "in" / name).write_bytes(b"1")
    assert planned("*", ".") == {"a.png": "./a.smc"}
    (tmp_path / "in/a.smc").write_bytes(b"1")
    with pytest.raises(SmapcompError, match=r"\./a\.smc: exists, and no bulk\.json"):
        planned("*", ".")


def test_a_lost_or_duplicated_picture_is_an_error():
    tasks = [Task("a", "a.smc", 1, False), Task("b", "b.smc", 1, False)]
    entries = [
        ManifestEntry("a", "a.smc", "written"),
        ManifestEntry("b", "b.smc", "failed", error="bad"),
    ]
    counters = {"read": 2, "written": 1, "failed": 1}
    wanted = {"written": 1, "skipped": 0, "failed": 1}
    assert manifest.count_statuses(entries, tasks, counters) == wanted
    assert manifest.count_statuses(entries, tasks, {}) == wanted
    with pytest.raises(SmapcompError, match="the plan has 2 inputs, but the manifest 1 lines"):
        manifest.count_statuses(entries[:1], tasks, counters)
    with pytest.raises(SmapcompError, match="the plan has 2 inputs, but the manifest 3 lines"):
        manifest.count_statuses([*entries, entries[1]], tasks, counters)
    with pytest.raises(SmapcompError, match="the runner counted"):
        manifest.count_statuses(entries, tasks, {**counters, "written": 2})
