"""What `animate` would make of every pair, without making it: `jobs.animate --preview`.

pair                           the actor that looks at pairs without a U-Net; a row and a sheet for each
job                            all pairs of a table: rows, sheets, a page, and a run that links them
page                           the page with all sheets; its template lies beside it
"""
