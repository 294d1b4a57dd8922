"""From lists of sources to stored videos.

source_lists                   folders, files, URLs and tables of them
guarded_http                   who may be asked, how often, for how long: the one way to the network
fetch, pages, containers       a file; the video of a page; whether a file is a video, and which
failure_cap                    ends a run in which nearly everything fails
crawl, settings                one row for each listed source; what is fetched and how politely
"""
