"""Writing of prepared records: shards, their manifest, and the Beam pipeline."""
