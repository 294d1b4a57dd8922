"""The real weights: which there are, where they lie, and how they come.

python -m jobs.weights list | fetch NAME… | verify [NAME…] | where NAME

catalogue     catalogue.yaml: every file with its place, size, SHA-256, licence, home page, and where it comes from
folder        what lies in a weights folder, and what of it is known to be right
fetch         files into a weights folder
check         what a job is about to read, held against the catalogue, or the manifest that committed it
"""
