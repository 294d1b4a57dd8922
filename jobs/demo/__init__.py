"""`make demo`: the whole line from a list of URLs to one page that shows what came out.

__main__.py      the command: a Ray head of its own, every verb in turn, and the page
sources.py       drawn clips on a web server of this machine, among them each kind of bad one
steps.py         one verb submitted as users submit it: a line on the terminal, everything else in a log
page.py          what the page says, read from the collections and from MLflow
page.html.jinja  how it looks
"""
