"""The networks on a TensorFlow Serving server: what is exported, and its client (docs/serving.md).

`saved_model` writes what a server loads, `remote_predictor` uses it and loads no TensorFlow.
"""
