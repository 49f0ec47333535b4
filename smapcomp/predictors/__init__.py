"""Objects that run the networks for the codec, whole pictures or windows of them."""
