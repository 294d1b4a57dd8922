"""Hostile inputs: whether each is answered by one line or row, and none by a traceback or a private request.

yaml_texts       texts in YAML that nobody should send
"""
