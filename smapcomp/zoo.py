"""The variants of the codec, and where their weights come from."""

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smapcomp.design import COMPNET_SCALE, SCALES, weights_digest
from smapcomp.errors import SmapcompError

BOX = Path(__file__).parent / "weights"
"""Weights that come with the package, one folder a variant."""

SUMS = "SHA256SUMS"


def lossy_role(scale: int) -> str:
    """What the FineNet of lossy compact images of a scale is called.

    Raises:
        ValueError: The scale is none of `SCALES`.
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale!r}; allowed: {', '.join(map(str, SCALES))}")
    return f"finenet_x{scale}"


LOSSY_FINENETS = tuple(map(lossy_role, SCALES))
"""Of any compact image but CompNet's, one for each compact scale."""

FINENETS = ("finenet", *LOSSY_FINENETS)
"""CompNet's own, and those."""

ROLES = ("compnet", "finenet", "segmenter", "smapnet", *LOSSY_FINENETS)


def finenet_role(scale: int, lossy: bool) -> str:
    """Which FineNet predicts from a compact image: CompNet's, lossless, has its own."""
    return "finenet" if scale == COMPNET_SCALE and not lossy else lossy_role(scale)


@dataclass(frozen=True)
class Variant:
    """What distinguishes one set of networks from another, apart from its weights.

    Attributes:
        name: As in the header of a stream.
        step: Step of the compact image's levels in 1/255. The papers round to 8 bit.
        label_stride: Side of the block of pixels that shares one label.
        backbone: Of the segmenter.
        representation: Of SMapNet.
    """

    name: str
    step: int
    label_stride: int
    backbone: str
    representation: str

    def full_size(self, labels: np.ndarray) -> np.ndarray:
        """The label map of a grid `[h, w]`: each label repeated over its block of pixels."""
        return labels.repeat(self.label_stride, 0).repeat(self.label_stride, 1)


VARIANTS = {
    "paper": Variant("paper", 1, 1, "resnet50", "index"),
    # Step 8, decided here: with plain down-sampling, steps of 8 to 16 give the best total rate at
    # equal PSNR; they save 0.1 bpp of the 0.19 that 8-bit levels cost.
    "lite": Variant("lite", 8, 8, "efficientnet_lite0", "classes"),
}


class Networks:
    """The networks of one variant, read, built and loaded when they are first asked for.

    Attributes:
        variant: The variant.
        folder: Where the weights are.
    """

    def __init__(self, variant: Variant, folder: Path):
        self.variant = variant
        self.folder = folder
        self._arrays: dict[str, dict[str, np.ndarray]] = {}
        self._digests: dict[str, bytes] = {}
        self._lossy_finenets: dict[str, Any] = {}

    def digest(self, finenet: str) -> bytes:
        """The model identity in a stream: `weights_digest` of what its decoder needs, 8 bytes.

        That is FineNet, the segmenter and SMapNet. CompNet is the encoder's alone, so a better one
        makes streams that every decoder reads.

        Args:
            finenet: The role of the FineNet (`finenet_role`); named "finenet" in the digest
                whatever it is.
        """
        if finenet not in self._digests:
            roles = {"finenet": finenet, "segmenter": "segmenter", "smapnet": "smapnet"}
            self._digests[finenet] = weights_digest(
                {
                    f"{name}/{key}": array
                    for name, role in roles.items()
                    for key, array in self.arrays(role).items()
                }
            )
        return self._digests[finenet]

    @functools.cached_property
    def compnet(self):
        """`build_compnet`'s model."""
        from smapcomp.models.compnet import build_compnet

        return self._load("compnet", build_compnet(self.variant.name))

    @functools.cached_property
    def finenet(self):
        """`build_finenet`'s model."""
        from smapcomp.models.finenet import build_finenet

        return self._load("finenet", build_finenet(self.variant.name))

    @functools.cached_property
    def segmenter(self):
        """`build_pspnet`'s model."""
        from smapcomp.models.pspnet import build_pspnet

        return self._load("segmenter", build_pspnet(self.variant.backbone))

    @functools.cached_property
    def smapnet(self):
        """`build_smapnet`'s model; the weights tell how many channels it has."""
        from smapcomp.models.smapnet import build_smapnet

        gamma = self.arrays("smapnet").get("norm/gamma", np.zeros(0))
        channels = gamma.size or None
        return self._load("smapnet", build_smapnet(self.variant.representation, channels))

    def lossy_finenet(self, role: str):
        """`build_lossy_finenet`'s model, for a role of `LOSSY_FINENETS`."""
        from smapcomp.models.lossy_finenet import build_lossy_finenet

        if role not in self._lossy_finenets:
            scale = SCALES[LOSSY_FINENETS.index(role)]
            self._lossy_finenets[role] = self._load(role, build_lossy_finenet(scale))
        return self._lossy_finenets[role]

    def arrays(self, role: str) -> dict[str, np.ndarray]:
        """The weights of one of `ROLES`, `layer/variable` to an array of any float type.

        Raises:
            SmapcompError: There is no such file, or it is damaged.
        """
        if role not in self._arrays:
            self._arrays[role] = _read(self.folder / f"{role}.npz")
        return self._arrays[role]

    def _load(self, role: str, model):
        from smapcomp.models.weights import assign_weights

        try:
            assign_weights(model, self.arrays(role))
        except ValueError as error:
            raise SmapcompError(f"{self.folder / role}.npz: {error}") from error
        return model


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise SmapcompError(f"{path}: no such weights file")
    data = path.read_bytes()
    sums = path.parent / SUMS
    if sums.is_file():
        actual = f"{hashlib.sha256(data).hexdigest()}  {path.name}"
        if actual not in sums.read_text(encoding="utf-8").splitlines():
            raise SmapcompError(f"{path}: {SUMS} has no line {actual!r}; the file is damaged")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: not a file of weights: {error}") from error


def load(variant: str = "lite", weights_dir: str | None = None) -> Networks:
    """Loads a variant's networks; the last two loaded are kept. As `load_anew` otherwise."""
    # `load()`, `load("lite")` and `load(variant="lite")` are one key.
    return _kept(variant, weights_dir)


@functools.lru_cache(maxsize=2)
def _kept(variant: str, weights_dir: str | None) -> Networks:
    return load_anew(variant, weights_dir)


def load_anew(variant: str = "lite", weights_dir: str | None = None) -> Networks:
    """Loads a variant's networks, which nobody else has.

    Args:
        variant: A key of `VARIANTS`.
        weights_dir: Folder of `compnet.npz`, `finenet.npz` and so on, one for each of `ROLES`
            that is used; None: those in the box. Files are checked against `SHA256SUMS` where that
            is there.

    Raises:
        SmapcompError: The variant is unknown or has no weights, or a file is damaged.
    """
    if variant not in VARIANTS:
        raise SmapcompError(f"variant {variant!r} is unknown; allowed: {', '.join(VARIANTS)}")
    folder = Path(weights_dir) if weights_dir else BOX / variant
    if not folder.is_dir():
        raise SmapcompError(
            f"{folder}: no weights for variant {variant!r}; train them and give --weights_dir"
            if not weights_dir
            else f"{folder}: no such folder of weights"
        )
    return Networks(VARIANTS[variant], folder)
