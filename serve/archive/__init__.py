"""Archive scoring: `policy-topics score IN OUT`.

inputs, packed (what there is to read) → formats (bytes to rows) → reading (rows to chunks of tokens) → scoring (chunks
to topics) → output (Parquet) with its ledger. local_engine runs these on this machine, ray_engine on Ray; pipeline is
the run.
"""
