"""The dataset root.

store                          content addresses, commits, manifests: the only code that knows where things lie
tables, pair_tables            the contract: each column with type, unit and writer; those of pairs and their results
whole_files                    a file appears whole, also in place of an equal one
lease                          who may work in a folder: one job at a time, whatever became of the last
inputs                         files that rows name, opened after a look at their bytes
media_cache                    this machine's copies of media of a root elsewhere
checksums                      of files that people name, wherever they lie
verdict_columns                types of the columns that say how results were judged
user_files                     tables that people name, opened within bounds
user_tables                    tables that people write, brought to the columns and types of a schema
parquet_files, part_rows       equal tables give equal bytes; rows of one key by id
compaction                     thousands of small parts become a few large ones
"""
