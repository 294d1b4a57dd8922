"""`make demo`: from a list of URLs to one page that shows what came out.

__main__                       every verb in turn on a Ray head of its own, and the page
sources                        drawn clips on a web server of this machine, among them each kind of bad one
steps                          a verb submitted as users submit it: a line on the terminal, everything else in a log
page                           what page.html.jinja says, read from the collections and from MLflow
"""
