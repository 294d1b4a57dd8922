"""What every verb does around its work.

entry                          parse, start Ray, open the run, end with an exit code
config                         the one place that parses: YAML and `a.b=value`
tracking                       the one place that talks to MLflow
curate_plan, encode_plan       what a dry run prints
local_ray                      a Ray head on this machine
"""
