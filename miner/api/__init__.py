"""The miner's HTTP API, with dashboard, metrics and health checks."""
