#!/bin/sh
# Serve models/smapcomp over gRPC on port 8500 and REST on port 8501, on this machine only.
# Usage: serving/run.sh [FOLDER_OF_MODELS]
# TF_SERVING_IMAGE names the image. It must be no older than the TensorFlow that exported the model.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
models=$(cd "${1:-$here/../models}" && pwd)
exec docker run --rm \
  --publish 127.0.0.1:8500:8500 --publish 127.0.0.1:8501:8501 \
  --mount "type=bind,source=$models/smapcomp,target=/models/smapcomp,readonly" \
  --mount "type=bind,source=$here,target=/config,readonly" \
  --memory 4g \
  "${TF_SERVING_IMAGE:-tensorflow/serving:latest}" \
  --model_config_file=/config/models.config \
  --enable_batching --batching_parameters_file=/config/batching.config \
  --monitoring_config_file=/config/monitoring.config
