"""Hostile inputs: whether each is answered by one line or row, and none by a traceback or a private request.

answers          how a command answers, and what is wrong with that
sources, addresses, configurations    inputs of a kind each; a further kind is a module with `answers`
tables, weights, archives             the same
yaml_texts       texts in YAML that nobody should send
table_files, weights_files            tables and weights that nobody should
"""
