"""Running the measures over videos: one decode, cached, resumed.

measure                        the pool over all videos
video_measures, first_pass, shot_run    one video; its cuts found just ahead of its samples; one shot
measure_cache                  which measures of which shots are stored, under which keys
bad_video_cap                  ends a run whose videos mostly cannot be measured
"""
