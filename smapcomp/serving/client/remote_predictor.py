"""The networks of a server; nothing here loads TensorFlow or Keras."""

import io

import numpy as np
from google.protobuf.message import DecodeError
from PIL import Image

from smapcomp import zoo
from smapcomp.design import COMPNET_SCALE
from smapcomp.errors import ServerModelError, ServerReplyError, SmapcompError
from smapcomp.predictors.base import Compact, TiledPredictor
from smapcomp.serving import contract
from smapcomp.serving.client.server_options import ServerOptions
from smapcomp.serving.contract import LOSSLESS
from smapcomp.serving.messages import Tensor, array_of, strings
from smapcomp.serving.png import to_png
from smapcomp.zoo import FINENETS, VARIANTS


def connect(options: ServerOptions) -> "RemotePredictor":
    """The networks of a server.

    Raises:
        ServerError: There is no server, or it has another model.
    """
    if options.rest:
        from smapcomp.serving.client.rest_transport import RestTransport

        return RemotePredictor(RestTransport(options))
    from smapcomp.serving.client.grpc_transport import GrpcTransport

    return RemotePredictor(GrpcTransport(options))


class RemotePredictor(TiledPredictor):
    """As `TiledPredictor`, by a server: pictures go and come as PNG.

    Args:
        transport: With `options`, and `call(signature, inputs)` that gives outputs.

    Raises:
        ServerModelError: The model's signatures are others than this client knows, or it computes
            in bfloat16.
    """

    def __init__(self, transport):
        self._transport = transport
        self._address = transport.options.address
        self._digests: dict[str, bytes] = {}
        facts = self._described(FINENETS[0])
        version, precision = (facts[name][0] for name in ("contract_version", "precision"))
        if version != contract.VERSION:
            raise self._wrong_model(
                f"has signatures of version {version}; this client knows {contract.VERSION}"
            )
        if precision != b"float32":
            raise self._wrong_model(
                f"computes in {precision.decode()}, and only itself could decode its streams; "
                "export it in float32"
            )
        name = facts["variant"][0].decode()
        if name not in VARIANTS:
            raise self._wrong_model(f"is of variant {name!r}; allowed: {', '.join(VARIANTS)}")
        self.variant = VARIANTS[name]

    def check_model(self, variant: str, weights_dir: str | None = None) -> None:
        """Holds the server's model to the weights that are wanted, where those are here.

        Args:
            variant, weights_dir: As `zoo.load` takes them.

        Raises:
            ServerModelError: The server has others.
        """
        if self.variant.name != variant:
            raise self._wrong_model(f"is of variant {self.variant.name!r}, not {variant!r}")
        try:
            networks = zoo.load(variant, weights_dir)
        except SmapcompError:
            if weights_dir is None:
                return  # Clients need no weights.
            raise
        for role in FINENETS:
            found = self.model_digest(role)
            if networks.digest(role) != found:
                raise self._wrong_model(
                    f"has other weights of {role} ({found.hex()}) than {networks.folder} "
                    f"({networks.digest(role).hex()}); --weights_dir names those that are wanted"
                )

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def model_digest(self, finenet: str) -> bytes:
        if finenet not in self._digests:
            self._described(finenet)
        return self._digests[finenet]

    def run_compnet(self, image: np.ndarray) -> np.ndarray:
        outputs = self._call("compact", picture_bytes=strings(to_png(image)))
        height, width, _ = image.shape
        return self._values(outputs, height // COMPNET_SCALE, width // COMPNET_SCALE)

    def segment(self, image: np.ndarray) -> np.ndarray:
        outputs = self._call("segment", picture_bytes=strings(to_png(image)))
        return self._grid(outputs, *image.shape[:2])

    def predict_window(
        self, compact: Compact, mode: str, labels: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray | None, np.ndarray]:
        height, width = compact.shape
        outputs = self._call(
            "predict_values" if exact else "predict",
            compact_bytes=strings(to_png(compact.image)),
            label_grid_bytes=strings(b"" if labels is None else to_png(labels)),
            scale=np.array([compact.scale], np.int32),
            quality=np.array([LOSSLESS if compact.quality is None else compact.quality], np.int32),
            mode=strings(mode.encode()),
        )
        grid = None if mode == "none" else self._grid(outputs, height, width)
        if exact:
            return grid, self._values(outputs, height, width)
        prediction = self._picture(outputs, "prediction_bytes", (height, width, 3))
        return grid, prediction.astype(np.float32)

    def upsample(self, image: np.ndarray, scale: int) -> np.ndarray:
        outputs = self._call(
            "upsample",
            compact_bytes=strings(to_png(image)),
            scale=np.array([scale], np.int32),
        )
        height, width, _ = image.shape
        return self._values(outputs, height * scale, width * scale)

    def _described(self, finenet: str) -> dict[str, np.ndarray]:
        """What the model says of itself and of a FineNet, whose digest is kept.

        One FineNet a call, since a server that batches refuses what is more than a batch of its.
        """
        facts = self._call("describe", role=strings(finenet.encode()))
        try:
            self._digests[finenet] = bytes.fromhex(facts["digest"][0].decode())
        except ValueError as error:
            raise self._wrong_reply(f"digest {error}") from error
        return facts

    def _call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of a signature, each with as many entries as the inputs have."""
        outputs = self._transport.call(signature, inputs)
        count = len(next(iter(inputs.values())))
        for name in contract.OUTPUTS[signature]:
            if name not in outputs or outputs[name].shape != (count,):
                shape = outputs[name].shape if name in outputs else None
                raise self._wrong_reply(f"output {name} of shape {shape}, not ({count},)")
        return outputs

    def _grid(self, outputs, height: int, width: int) -> np.ndarray:
        stride = self.variant.label_stride
        return self._picture(outputs, "label_grid_bytes", (height // stride, width // stride))

    def _picture(self, outputs, name: str, shape: tuple[int, ...]) -> np.ndarray:
        try:
            samples = np.asarray(Image.open(io.BytesIO(outputs[name][0]), formats=["PNG"]))
        except (OSError, SyntaxError, ValueError, TypeError) as error:
            raise self._wrong_reply(f"output {name} is no PNG: {error}") from error
        if samples.shape != shape or samples.dtype != np.uint8:
            raise self._wrong_reply(f"output {name} of shape {samples.shape}, not {shape}")
        return samples

    def _values(self, outputs, height: int, width: int) -> np.ndarray:
        try:
            values = array_of(Tensor.FromString(outputs["values_bytes"][0]))
        except (DecodeError, TypeError) as error:
            raise self._wrong_reply(f"output values_bytes is no tensor: {error}") from error
        shape = (height, width, 3)
        if values.shape != shape or values.dtype != np.float32:
            raise self._wrong_reply(f"values {values.dtype} {values.shape}, not float32 {shape}")
        return values

    def _wrong_model(self, what: str) -> ServerModelError:
        return ServerModelError(f"{self._address}: {self._transport.options.model_in_words} {what}")

    def _wrong_reply(self, what: str) -> ServerReplyError:
        return ServerReplyError(f"{self._address}: the reply is not what the model gives: {what}")
