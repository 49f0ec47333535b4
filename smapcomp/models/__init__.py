"""The networks as functional Keras models (docs/spec.md, section 2)."""
