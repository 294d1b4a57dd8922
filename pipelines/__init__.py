"""From a URL to a training shard: Ray Data stages over pure functions."""
