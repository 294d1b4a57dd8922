"""What a dry run prints of a verb, which knows what the verb would do.

animate, curate, encode    one each
"""
