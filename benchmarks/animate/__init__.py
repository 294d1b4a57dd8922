"""Animation as people need it, measured.

preview                        how often the warnings of a look are right
preview_cases, preview_people    drawn cases of each warning, and near misses; the people in them
"""
