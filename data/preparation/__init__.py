"""Writing of records: shards, their manifest, and the Apache Beam pipeline that writes them."""
