"""All that knows MLflow.

runs                           the runs of a job, which stand beside those of other jobs and end with it
run                            one of them: settings, numbers, tables, pictures, files, data sets and models
credentials                    its name and password, kept out of what is shown
tracker                        where runs are kept, and whether it answers
pages                          where MLflow's pages show a run or an experiment
"""
