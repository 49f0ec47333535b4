"""Predictor whose networks run on a server; it loads neither TensorFlow nor Keras."""

import io
import logging

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image

from smapcomp import zoo
from smapcomp.design import COMPNET_SCALE
from smapcomp.errors import ServerModelError, ServerReplyError, SmapcompError
from smapcomp.predictors.base import Compact, TiledPredictor
from smapcomp.serving import contract
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.contract import LOSSLESS_QUALITY
from smapcomp.serving.messages import Tensor, bytes_array, to_array
from smapcomp.serving.png import encode_png
from smapcomp.zoo import FINENETS, VARIANTS

_log = logging.getLogger("smapcomp")


def connect(options: ServerOptions) -> "RemotePredictor":
    """Connect to a server.

    Raises:
        ServerError: There is no server at the address, or its model cannot be used.
    """
    if options.uses_rest:
        # gRPC takes time to load; REST does not need it.
        from smapcomp.serving.client.rest_transport import RestTransport

        return RemotePredictor(RestTransport(options))
    from smapcomp.serving.client.grpc_transport import GrpcTransport

    return RemotePredictor(GrpcTransport(options))


class RemotePredictor(TiledPredictor):
    """Predictor that calls a server for each window; pictures are sent and received as PNG.

    Args:
        transport: A `GrpcTransport` or `RestTransport`.

    Raises:
        ServerModelError: The model has signatures of another version, computes in bfloat16, or is
            of an unknown variant.
        ServerError: A call failed.
    """

    def __init__(self, transport):
        self._transport = transport
        self._address = transport.options.address
        self._digests: dict[str, bytes] = {}
        facts = self._describe(FINENETS[0])
        # Models that were exported before this property was added have all FineNets.
        names = facts["finenets"][0].decode() if "finenets" in facts else ",".join(FINENETS)
        self._finenets = tuple(names.split(","))
        version, precision = (facts[name][0] for name in ("contract_version", "precision"))
        if version != contract.VERSION:
            raise self._model_error(
                f"has signatures of version {version}; this client knows {contract.VERSION}"
            )
        if precision != b"float32":
            raise self._model_error(
                f"computes in {precision.decode()}, so only this model could decode its streams; "
                "export it in float32"
            )
        name = facts["variant"][0].decode()
        if name not in VARIANTS:
            raise self._model_error(f"is of variant {name!r}; allowed: {', '.join(VARIANTS)}")
        self.variant = VARIANTS[name]

    def check_model(self, variant: str) -> None:
        """Check that the server has the variant that is wanted.

        The logger "smapcomp" is told if its weights are not the bundled ones, because decoders need
        them. Nothing is compared where those are not installed, since a client needs none.

        Args:
            variant: Key of `zoo.VARIANTS`.

        Raises:
            ServerModelError: The server has another variant.
        """
        if self.variant.name != variant:
            raise self._model_error(f"is of variant {self.variant.name!r}, not {variant!r}")
        try:
            networks = zoo.cached_networks(variant)
        except SmapcompError:
            return
        for role in networks.finenets:
            if role in self.finenets and networks.digest(role) != self.model_digest(role):
                _log.warning(
                    "%s: %s has other weights than %s; decoding needs this model, or its weights "
                    "in --weights_dir",
                    self._address,
                    self._transport.options.model_label,
                    networks.folder,
                )
                return

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    @property
    def finenets(self) -> tuple[str, ...]:
        return self._finenets

    def is_exact(self, finenet: str) -> bool:
        # A server does not say it; the package's lite networks are exact.
        return self.variant.name == "lite"

    def model_digest(self, finenet: str) -> bytes:
        if finenet not in self._digests:
            self._describe(finenet)
        return self._digests[finenet]

    def run_compnet(self, image: np.ndarray) -> np.ndarray:
        outputs = self._call("compact", picture_bytes=bytes_array(encode_png(image)))
        height, width, _ = image.shape
        return self._float_values(outputs, height // COMPNET_SCALE, width // COMPNET_SCALE)

    def segment(self, image: np.ndarray) -> np.ndarray:
        outputs = self._call("segment", picture_bytes=bytes_array(encode_png(image)))
        return self._label_grid(outputs, *image.shape[:2])

    def predict_window(
        self, compact: Compact, mode: str, labels: np.ndarray | None, unrounded: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        height, width = compact.shape
        quality = LOSSLESS_QUALITY if compact.quality is None else compact.quality
        outputs = self._call(
            "predict_values" if unrounded else "predict",
            compact_bytes=bytes_array(encode_png(compact.image)),
            label_grid_bytes=bytes_array(b"" if labels is None else encode_png(labels)),
            scale=np.array([compact.scale], np.int32),
            quality=np.array([quality], np.int32),
            mode=bytes_array(mode.encode()),
        )
        grid = None if mode == "none" else self._label_grid(outputs, height, width)
        if unrounded:
            return grid, self._float_values(outputs, height, width)
        prediction = self._png_samples(outputs, "prediction_bytes", (height, width, 3))
        return grid, prediction.astype(np.float32)

    def upsample(self, image: np.ndarray, scale: int) -> np.ndarray:
        outputs = self._call(
            "upsample",
            compact_bytes=bytes_array(encode_png(image)),
            scale=np.array([scale], np.int32),
        )
        height, width, _ = image.shape
        return self._float_values(outputs, height * scale, width * scale)

    def _describe(self, finenet: str) -> dict[str, np.ndarray]:
        """Return the model's properties, and store the digest of a FineNet.

        A call asks for one FineNet, since a batching server refuses more entries than a batch has.
        """
        facts = self._call("describe", role=bytes_array(finenet.encode()))
        try:
            self._digests[finenet] = bytes.fromhex(facts["digest"][0].decode())
        except ValueError as error:
            raise self._reply_error(f"digest {error}") from error
        return facts

    def _call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Call a signature and return its outputs, each with as many entries as the inputs."""
        outputs = self._transport.call(signature, inputs)
        count = len(next(iter(inputs.values())))
        for name in contract.SIGNATURE_OUTPUTS[signature]:
            if name not in outputs or outputs[name].shape != (count,):
                shape = outputs[name].shape if name in outputs else None
                raise self._reply_error(f"output {name} of shape {shape}, not ({count},)")
        return outputs

    def _label_grid(self, outputs, height: int, width: int) -> np.ndarray:
        stride = self.variant.label_stride
        return self._png_samples(outputs, "label_grid_bytes", (height // stride, width // stride))

    def _png_samples(self, outputs, name: str, shape: tuple[int, ...]) -> np.ndarray:
        try:
            samples = np.asarray(Image.open(io.BytesIO(outputs[name][0]), formats=["PNG"]))
        except (OSError, SyntaxError, ValueError, TypeError) as error:
            raise self._reply_error(f"output {name} is not a PNG file: {error}") from error
        if samples.shape != shape or samples.dtype != np.uint8:
            raise self._reply_error(f"output {name} of shape {samples.shape}, not {shape}")
        return samples

    def _float_values(self, outputs, height: int, width: int) -> np.ndarray:
        try:
            values = to_array(Tensor.FromString(outputs["values_bytes"][0]))
        except (DecodeError, TypeError) as error:
            raise self._reply_error(f"output values_bytes is not a tensor: {error}") from error
        shape = (height, width, 3)
        if values.shape != shape or values.dtype != np.float32:
            raise self._reply_error(f"values {values.dtype} {values.shape}, not float32 {shape}")
        return values

    def _model_error(self, reason: str) -> ServerModelError:
        return ServerModelError(f"{self._address}: {self._transport.options.model_label} {reason}")

    def _reply_error(self, reason: str) -> ServerReplyError:
        return ServerReplyError(f"{self._address}: unexpected reply: {reason}")
