"""Training of the networks.

The modules of this folder are shared by both backends. `stages` has the networks and losses of each
stage, `tf_trainer` and `jax_trainer` the loops, `probes` what is measured during training.
"""
