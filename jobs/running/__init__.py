"""What every verb does around its work.

entry                          parse, start Ray, open the run
ending                         a line and an exit code for whatever a command ends in, signals included
config                         the one place that parses: YAML and `a.b=value`
parameters                     settings as MLflow's parameters: flat, those first that a user changed
plans                          what a dry run prints of them, verb by verb
resources                      what each job reserves
files                          which files the jobs read
addresses, job_server          from what users call a cluster to its job server; its token, versions, nodes and client
follow                         the log of a submitted job to its end, whatever the connection does
package_files                  what the packages consist of: what a job is sent
local_ray, environment         a Ray head on this machine; variables for a while
"""
