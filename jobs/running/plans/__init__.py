"""What a dry run prints of the verbs that know what they would do.

animate, curate, encode    one each
"""
