"""From measures to a release: verdicts, accepted clips, and a page for people.

settings, rules                thresholds; which shots are good enough, and every reason why one is not
select                         a verdict for every shot, the clips, their frames
people, near_duplicates        who is in which clip; which shots are copies of one another
splits                         which videos are kept out of training, from release to release
report, contact_sheet, histograms, rule_columns, rule_effects    the page
diff                           what differs between two releases
poses                          the poses of a release's clips
"""
