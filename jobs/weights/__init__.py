"""The real weights: which there are, where they lie, and how they come.

python -m jobs.weights list | fetch NAME… | verify [NAME…] | where NAME

catalogue                      every file with its place, size, SHA-256, licence and home page
download, fetch                one URL to one file; an entry of the catalogue into a folder
folder                         what lies in a weights folder, and what of it is known to be right
"""
