"""What an exported model and its client have agreed on; known without TensorFlow."""

VERSION = 1
"""Of the signatures. A client refuses a model of another."""

MODEL_NAME = "smapcomp"
"""Under which servers offer the model."""

LOSSLESS = -1
"""Quality of a compact image that was coded without loss."""

PRECISIONS = ("float32", "bfloat16")
"""That an export may compute in."""

MAX_PIXELS = 1 << 21
"""Of a picture, or of a window's prediction, that the networks see in one piece: more than the
codec ever asks for (`tiles.MAX_WHOLE_PIXELS`), and a bound on the server's memory."""

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

OUTPUTS = {
    "predict": ("label_grid_bytes", "prediction_bytes"),
    "predict_values": ("label_grid_bytes", "values_bytes"),
    "segment": ("label_grid_bytes", "label_map_bytes"),
    "compact": ("values_bytes",),
    "upsample": ("values_bytes",),
    "describe": ("contract_version", "digest", "precision", "variant"),
}
"""What the client reads of the signatures that it calls. A single output is the only one."""
