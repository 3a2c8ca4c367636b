"""Failover between pools, and the way of each share to its verdict."""
