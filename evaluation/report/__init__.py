"""The evaluation's report: one HTML page that needs no server and no network.

    write_report("report.html", title=..., sections=[...], points=points, pictures=[...], ...)

The page has the results' tables and plots, a slider that compares two codecs on a picture at
matched rates, and every measured point of every picture.
"""

from evaluation.report.content import Section, Shown, ShownPicture
from evaluation.report.markup import markdown_table_to_html, plot_to_html
from evaluation.report.page import write_report

__all__ = [
    "Section",
    "Shown",
    "ShownPicture",
    "markdown_table_to_html",
    "plot_to_html",
    "write_report",
]
