"""Entry points: one module for each verb of `ray job submit -- python -m jobs.<verb>`."""
