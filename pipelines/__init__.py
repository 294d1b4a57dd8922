"""From a URL to a training shard.

curation                       the settings of `jobs.curate`
actor_pool                     a pool of Ray actors over a list of rows
machines                       which machines a cluster has, and which its autoscaler may add
node_places                    how many processes with a reservation fit a cluster's machines
progress                       how far a long step is
telemetry                      what the flow counts of itself, for Prometheus
user_yaml                      YAML that people write, read within bounds
"""
