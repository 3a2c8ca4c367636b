"""Mining with a coin's own node, over its HTTP JSON-RPC."""
