"""The whole chain, walked by the commands of the documentation: from pictures to a server."""

import re
import shutil
import subprocess

import pytest

from smapcomp.metrics import psnr
from tests.helpers import doc_folder
from tests.helpers.doc_commands import commands_of
from tests.helpers.doc_runner import DocRunner, treatments, whole
from tests.helpers.paths import ROOT
from tests.helpers.pictures import read_samples

pytestmark = pytest.mark.slow

PAPER = (
    ("_lite.py", "_paper.py"),
    ("--variant=lite", "--variant=paper"),
    ("lite0.npz", "RESNET50.npz"),
    (r"(stage[13]_paper.*)", r"\1 --config.model.vgg=VGG19.npz"),
)
"""What docs/training.md says of the papers' networks, below its commands."""

PAPER_EVALUATION = "variant=paper,weights_dir=DIR"
"""Part of the command that needs weights of the papers' networks."""

LEAST_PSNR = 20.0
"""dB. Networks after one step predict badly, but the residual at quality 60 makes up for it."""


def clone(folder):
    """Copy the tracked files of the checkout, as `git clone` would."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
            shutil.copymode(ROOT / name, folder / name)


def chain(variant: str) -> list[str]:
    """Return the commands from the data set to the exported model."""
    (prepare,) = {c.text for c in commands_of("docs/data.md") if "prepare --source=ADEC" in c.text}
    texts = [c.text for c in commands_of("docs/training.md") if treatments()[c][0] != "excused"]
    first = next(i for i, text in enumerate(texts) if "import_efficientnet" in text)
    last = next(i for i, text in enumerate(texts) if "smapcomp.export" in text)
    commands = [text.replace("=DATA", "=ade256") for text in texts[first : last + 1]]
    if variant == "paper":
        commands = commands[1:]  # The backbone is another one.
        for pattern, replacement in PAPER:
            commands = [re.sub(pattern, replacement, text) for text in commands]
    return [prepare, *commands]


def similarity(folder, name: str) -> float:
    """Return the PSNR in dB of a decoded picture against the photograph."""
    photo, decoded = (read_samples(folder / each) for each in ("photo.png", name))
    assert photo.shape == decoded.shape
    return float(psnr(photo, decoded))


@pytest.mark.parametrize("variant", ["lite", "paper"])
def test_a_fresh_clone_trains_exports_and_serves_by_the_docs_alone(variant, tmp_path):
    clone(tmp_path)
    doc_folder.make_programs(tmp_path)
    doc_folder.make_placeholders(tmp_path)
    if variant == "paper":
        doc_folder.write_keras_weights(tmp_path)
    runner = DocRunner(tmp_path)
    try:
        commands = chain(variant)
        assert [c for c in commands if "_paper" in c or "_lite" in c] == commands[-8:-4]
        printed = [runner.run(text) for text in commands]
        trained = [out for text, out in zip(commands, printed, strict=True) if "train " in text]
        assert len(trained) == 4
        assert similarity(tmp_path, "back.png") > LEAST_PSNR
        serving = [c.text for c in commands_of("docs/serving.md")]
        if variant == "paper":
            texts = [c.text for c in commands_of("docs/training.md")]
            (evaluate,) = [text for text in texts if PAPER_EVALUATION in text]
            evaluate = re.sub(r"(--codec=\S+)", r"\1@20,60", evaluate.replace("=DIR", "=weights"))
            runner.run(f"{evaluate} --pictures=DIR")
        start = serving.index("serving/run.sh")
        for text in serving[start : start + 3]:
            text = text.replace("photo.smc", "served.smc").replace("back.png", "served.png")
            if " compress " in text:
                text += f" --variant={variant}"
            runner.run(text)
    finally:
        runner.close()
    local, served = (similarity(tmp_path, f"{name}.png") for name in ("back", "served"))
    # ONNX Runtime and TensorFlow round differently, which may change single labels.
    assert abs(local - served) < 1


@pytest.mark.parametrize(
    "page", sorted({c.page for c, (kind, _) in treatments().items() if kind == "slow"})
)
def test_all_commands_of_a_page_run_from_top_to_bottom(page, tmp_path):
    doc_folder.make_folder(tmp_path)
    doc_folder.write_keras_weights(tmp_path)
    runner = DocRunner(tmp_path)
    try:
        for command, (kind, _) in treatments().items():
            in_chain = PAPER_EVALUATION in command.text
            if command.page == page and kind in ("run", "slow") and not in_chain:
                runner.run(whole(command))
    finally:
        runner.close()
