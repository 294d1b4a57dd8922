"""What values settings may have.

checks       numbers in ranges, names, and the one check that holds every settings class to what its types say
places       paths and URIs
"""
