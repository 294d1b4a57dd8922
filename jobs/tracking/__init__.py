"""All that knows MLflow.

runs                           the runs of a job, which stand beside those of other jobs and end with it
run                            one of them: settings, numbers, tables, pictures, files, data sets and models
system                         what the driver's machine did meanwhile
spool                          where a run's records lie until they are sent
sender, delivery               the thread that sends them; what becomes of each in MLflow
__main__                       `python -m jobs.tracking`: sends what is left, without a job
stored                         a run read back from MLflow
credentials                    its name and password, kept out of what is shown
tracker                        where runs are kept, and whether it answers
pages                          where MLflow's pages show a run or an experiment
"""
