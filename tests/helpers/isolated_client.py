"""Call signatures of a SavedModel in a process that can import neither smapcomp nor Keras.

    python -I isolated_client.py MODEL REQUESTS RESULTS

REQUESTS is a pickled list of signature names and inputs. RESULTS becomes a pickled list of outputs.
"""

import os
import pickle
import sys

sys.modules["smapcomp"] = sys.modules["keras"] = None
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf  # noqa: E402


def main(model, requests, results):
    signatures = tf.saved_model.load(model).signatures
    with open(requests, "rb") as file:
        calls = pickle.load(file)
    found = []
    for name, inputs in calls:
        outputs = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        found.append({key: value.numpy() for key, value in outputs.items()})
    with open(results, "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
