"""What a decoder may be asked, known without loading one."""

STAGES = ("compact", "prediction", "full")
"""How far to decode."""

ON_MISMATCH = ("error", "warn")
"""What to do about a label map or a prediction other than the encoder's."""
