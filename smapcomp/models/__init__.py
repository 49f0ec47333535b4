"""Networks of the codec and of its training, as functional Keras models (docs/spec.md, section 2).

Each network has a module with one public function, `build_…`, that returns the model with random
weights. `smapcomp.zoo` loads trained weights.
"""
