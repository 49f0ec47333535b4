"""Interface between an exported model and its client. Reading it does not need TensorFlow."""

VERSION = 1
"""Version of the signatures. A client refuses a model of another version."""

MODEL_NAME = "smapcomp"
"""Name under which servers offer the model."""

LOSSLESS_QUALITY = -1
"""Value of the input `quality` for a compact image that was coded without loss."""

PRECISIONS = ("float32", "bfloat16")
"""Types in which the networks of an export can compute."""

MAX_PIXELS = 1 << 21
"""Largest picture or window, in pixels, that a model accepts. It is more than the codec asks for
(`predictors.tiles.MAX_WHOLE_PIXELS`) and bounds the server's memory."""

SIGNATURES = (
    "analyze",
    "predict",
    "predict_values",
    "predict_tensors",
    "segment",
    "compact",
    "upsample",
    "describe",
)
"""Names of the model's signatures; `serving_default` is `analyze`."""

SIGNATURE_OUTPUTS = {
    "predict": ("label_grid_bytes", "prediction_bytes"),
    "predict_values": ("label_grid_bytes", "values_bytes"),
    "segment": ("label_grid_bytes", "label_map_bytes"),
    "compact": ("values_bytes",),
    "upsample": ("values_bytes",),
    "describe": ("contract_version", "digest", "precision", "variant"),
}
"""Outputs that the client reads, by signature. Where there is one, the signature has no other."""
