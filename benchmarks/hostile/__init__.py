"""Hostile inputs: whether each is answered by one line or row, and none by a traceback or a private request.

answers          how a command answers, and what is wrong with that
configurations, sources, addresses, tables, weights, archives
                 inputs of a kind each; a further kind is a module with `answers`
yaml_texts, table_files, weights_files     texts in YAML, tables and weights that nobody should send
"""
