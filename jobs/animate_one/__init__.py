"""One picture and one video to an mp4, without Ray and MLflow: `python -m jobs.animate_one`.

request                        what was asked for, checked before anything is loaded
animation                      the look, the sheet, the mp4, and what is said of them
"""
