"""Variants of the codec: their networks and where the weights come from."""

import functools
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smapcomp.design import COMPNET_SCALE, NUM_CLASSES, SCALES, weights_digest
from smapcomp.errors import SmapcompError
from smapcomp.models import exact_weights

if TYPE_CHECKING:
    import keras

BUNDLED_WEIGHTS = Path(__file__).parent / "weights"
"""Weights that come with the package: one folder for each variant."""

CHECKSUMS_FILE = "SHA256SUMS"
"""File beside the weights with their SHA-256 sums, as `sha256sum` writes it."""


def lossy_finenet_role(scale: int) -> str:
    """Return the role of the FineNet for lossy compact images of a scale.

    Raises:
        ValueError: The scale is not in `SCALES`.
    """
    if scale not in SCALES:
        raise ValueError(f"scale {scale!r} is unknown; allowed: {', '.join(map(str, SCALES))}")
    return f"finenet_x{scale}"


LOSSY_FINENETS = tuple(map(lossy_finenet_role, SCALES))
"""Roles of the FineNets for lossy compact images, in the order of `SCALES`."""

FINENETS = ("finenet", *LOSSY_FINENETS)
"""Roles of all FineNets. The first one is for CompNet's lossless compact images."""

ROLES = ("compnet", "finenet", "segmenter", "smapnet", *LOSSY_FINENETS)
"""Roles of all networks. The weights of a role are in the file `ROLE.npz`."""


TRAINING_HEADS = {"segmenter": "auxiliary"}
"""Role to the prefix of layers that only the network's training has. They are no part of the codec,
but a file of weights may contain them."""


def finenet_role(scale: int, lossy: bool) -> str:
    """Return the role of the FineNet that predicts from a compact image.

    Args:
        scale: Scale of the compact image, one of `SCALES`.
        lossy: Whether its coder is lossy. A lossless image of `COMPNET_SCALE` is CompNet's.
    """
    return "finenet" if scale == COMPNET_SCALE and not lossy else lossy_finenet_role(scale)


def smapnet_representation(channels: int) -> str:
    """Return the representation of labels of an SMapNet, which its number of channels tells.

    Args:
        channels: Channels of input and output.

    Returns:
        "classes" or "index", as `build_smapnet` takes it.

    Raises:
        ValueError: No SMapNet has so many channels.

    Example:
        >>> smapnet_representation(150), smapnet_representation(3)
        ('classes', 'index')
    """
    representations = {NUM_CLASSES: "classes", 3: "index", 1: "index"}
    if channels not in representations:
        allowed = ", ".join(f"{count} ({name})" for count, name in representations.items())
        raise ValueError(f"an SMapNet of {channels} channels is unknown; allowed: {allowed}")
    return representations[channels]


def smapnet_channels(arrays: Mapping[str, np.ndarray]) -> int:
    """Return the number of channels of an SMapNet with these weights.

    Args:
        arrays: Weights by `layer/variable`.

    Raises:
        ValueError: They are not the weights of an SMapNet.
    """
    kernel = arrays.get("conv_out/kernel")
    if kernel is None or kernel.ndim != 4:
        raise ValueError("not weights of an SMapNet, which have a kernel conv_out/kernel")
    return kernel.shape[-1]


@dataclass(frozen=True)
class Variant:
    """Properties of a set of networks, apart from the weights.

    Attributes:
        name: Name of the variant, as in the header of a stream.
        step: Quantiser step of CompNet's compact image in units of 1/255.
        label_stride: Side in pixels of the square block that shares one label.
        backbone: Backbone of the segmenter, as `build_pspnet` takes it.
        representation: Representation of labels that an SMapNet of this variant is trained with
            by default, as `build_smapnet` takes it. The codec builds what the weights have.
    """

    name: str
    step: int
    label_stride: int
    backbone: str
    representation: str

    def label_map(self, grid: np.ndarray) -> np.ndarray:
        """Return the label map of a label grid: each label repeated over its block of pixels.

        Args:
            grid: Labels, integers `[h, w]`.

        Returns:
            The same dtype, `[h * label_stride, w * label_stride]`.
        """
        return grid.repeat(self.label_stride, 0).repeat(self.label_stride, 1)


VARIANTS = {
    # The papers round the compact image to 8 bits.
    "paper": Variant("paper", 1, 1, "resnet50", "index"),
    # With plain down-sampling, steps of 8 to 16 give the best total rate at equal PSNR. Step 8
    # saves 0.1 of the 0.19 bits per pixel that 8-bit levels cost.
    "lite": Variant("lite", 8, 8, "efficientnet_lite0", "classes"),
}
"""All variants by name."""


class Networks:
    """Networks of one variant, each read and built when it is first needed.

    Attributes:
        variant: The variant.
        folder: Folder of the weights.

    Example:
        >>> networks = cached_networks("lite")
        >>> networks.arrays("smapnet")["conv_out/kernel"].shape
        (3, 3, 64, 150)
    """

    def __init__(self, variant: Variant, folder: Path):
        self.variant = variant
        self.folder = folder
        self._arrays: dict[str, dict[str, np.ndarray]] = {}
        self._digests: dict[str, bytes] = {}
        self._models: dict[str, keras.Model] = {}

    def digest(self, finenet: str) -> bytes:
        """Return the digest of the weights that a decoder needs, which a stream carries.

        The decoder runs a FineNet, the segmenter and SMapNet. Only the encoder runs CompNet, so a
        CompNet can be replaced and its streams stay readable for every decoder.

        Args:
            finenet: Role of the FineNet, one of `FINENETS`. The digest is of arrays named
                "finenet/…" whatever the role is.

        Returns:
            `weights_digest` of these networks, 8 bytes.

        Raises:
            SmapcompError: A file of weights is missing or damaged.
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

    def weights_file(self, role: str) -> Path:
        """Return the path of a network's weights, which need not exist."""
        return self.folder / f"{role}.npz"

    def has(self, role: str) -> bool:
        """Return whether there is a file with the weights of a network."""
        return self.weights_file(role).is_file()

    @property
    def finenets(self) -> tuple[str, ...]:
        """Roles of the FineNets that have weights, in the order of `FINENETS`.

        They tell the designs that the weights serve: "finenet" is for the papers' design, the
        lossless compact image of `COMPNET_SCALE`; the others are for lossy compact images.
        """
        return tuple(filter(self.has, FINENETS))

    def arrays(self, role: str) -> dict[str, np.ndarray]:
        """Return the weights of a network.

        Args:
            role: One of `ROLES`.

        Returns:
            Arrays by `layer/variable`, without those of `TRAINING_HEADS`: of any float type, or of
            an exact network as `smapcomp.models.exact_weights` has them.

        Raises:
            SmapcompError: The file is missing or damaged.
        """
        if role not in self._arrays:
            arrays, head = _read_weights(self.weights_file(role)), TRAINING_HEADS.get(role)
            self._arrays[role] = {
                key: array for key, array in arrays.items() if not (head and key.startswith(head))
            }
        return self._arrays[role]

    def is_exact(self, role: str) -> bool:
        """Return whether a network is exact; errors are those of `arrays`."""
        return exact_weights.is_exact(self.arrays(role))

    def exact_weights(self, role: str) -> dict[str, np.ndarray] | None:
        """Return `arrays` if the network is exact, else `None`; errors are those of `arrays`."""
        return self.arrays(role) if self.is_exact(role) else None

    def layer_weights(self, role: str) -> dict[str, np.ndarray]:
        """Return the weights of a network as its layers have them, which an engine runs.

        Args:
            role: One of `ROLES`.

        Returns:
            Arrays of any float type by `layer/variable`.

        Raises:
            SmapcompError: The file is missing or damaged, or a sum of an exact network may be
                rounded.
        """
        arrays = self.arrays(role)
        if not exact_weights.is_exact(arrays):
            return arrays
        try:
            return exact_weights.to_float(arrays)
        except ValueError as error:
            raise SmapcompError(f"{self.weights_file(role)}: {error}") from error

    def model(self, role: str) -> "keras.Model":
        """Return the Keras model of a network, with its weights. This loads Keras.

        Args:
            role: One of `ROLES`.

        Raises:
            SmapcompError: The weights are missing, damaged, or of another architecture.
            ValueError: The role is unknown.
        """
        if role not in ROLES:
            raise ValueError(f"role {role!r} is unknown; allowed: {', '.join(ROLES)}")
        if role not in self._models:
            from smapcomp.models.precision import with_precision
            from smapcomp.models.weights import assign_weights

            try:
                if self.is_exact(role):  # Whatever precision the other networks have.
                    model = with_precision(self._build, "float32", role)
                else:
                    model = self._build(role)
                assign_weights(model, self.arrays(role))
            except ValueError as error:
                if isinstance(error, SmapcompError):
                    raise
                raise SmapcompError(f"{self.weights_file(role)}: {error}") from error
            self._models[role] = model
        return self._models[role]

    def _build(self, role: str) -> "keras.Model":
        channels = smapnet_channels(self.arrays(role)) if role == "smapnet" else None
        return build_network(self.variant, role, self.is_exact(role), channels)


def build_network(
    variant: Variant, role: str, exact: bool = False, channels: int | None = None
) -> "keras.Model":
    """Return a network with random weights. This loads Keras.

    Args:
        variant: Variant of the network.
        role: One of `ROLES`.
        exact: Whether it is exact; CompNet and the networks of "paper" cannot be.
        channels: Channels of an SMapNet, which tell its representation; `None` for the variant's.

    Raises:
        ValueError: The network has no exact form.
    """
    # Imported here since each of these modules loads Keras.
    if role == "compnet":
        from smapcomp.models.compnet import build_compnet

        if exact:
            raise ValueError("compnet has no exact form")
        return build_compnet(variant.name)
    if role == "finenet":
        from smapcomp.models.finenet import build_finenet

        return build_finenet(variant.name, exact=exact)
    if role == "segmenter" and exact:
        from smapcomp.models.exact_segmenter import build_exact_segmenter

        return build_exact_segmenter()
    if role == "segmenter":
        from smapcomp.models.pspnet import build_pspnet

        return build_pspnet(variant.backbone)
    if role == "smapnet":
        from smapcomp.models.smapnet import build_smapnet

        kind = smapnet_representation(channels) if channels else variant.representation
        return build_smapnet(kind, channels, exact=exact)
    from smapcomp.models.lossy_finenet import build_lossy_finenet

    return build_lossy_finenet(SCALES[LOSSY_FINENETS.index(role)], exact=exact)


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise SmapcompError(f"{path}: no such weights file")
    data = path.read_bytes()
    checksums = path.parent / CHECKSUMS_FILE
    if checksums.is_file():
        actual = f"{hashlib.sha256(data).hexdigest()}  {path.name}"
        if actual not in checksums.read_text(encoding="utf-8").splitlines():
            raise SmapcompError(
                f"{path}: {CHECKSUMS_FILE} has no line {actual!r}; the file is damaged"
            )
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SmapcompError(f"{path}: not a file of weights: {error}") from error


def load_networks(variant: str = "lite", weights_dir: str | None = None) -> Networks:
    """Return the networks of a variant, not shared with other callers.

    Args:
        variant: A key of `VARIANTS`.
        weights_dir: Folder with a file `ROLE.npz` for each of `ROLES` that will be used; `None`
            for the bundled weights. If the folder has a `SHA256SUMS`, files are checked against it.

    Raises:
        SmapcompError: The variant is unknown, or there is no such folder.
    """
    if variant not in VARIANTS:
        raise SmapcompError(f"variant {variant!r} is unknown; allowed: {', '.join(VARIANTS)}")
    folder = Path(weights_dir) if weights_dir else BUNDLED_WEIGHTS / variant
    if not folder.is_dir():
        raise SmapcompError(
            f"{folder}: no weights for variant {variant!r}; train them and give --weights_dir"
            if not weights_dir
            else f"{folder}: no such folder of weights"
        )
    return Networks(VARIANTS[variant], folder)


def cached_networks(variant: str = "lite", weights_dir: str | None = None) -> Networks:
    """Return the networks of a variant, shared by all callers; the last two are kept.

    Arguments and errors are those of `load_networks`.
    """
    # `f()`, `f("lite")` and `f(variant="lite")` must be one entry of the cache.
    return _networks_cache(variant, weights_dir)


_networks_cache = functools.lru_cache(maxsize=2)(load_networks)
