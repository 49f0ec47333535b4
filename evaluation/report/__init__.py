"""The evaluation's report: one HTML page that needs neither a server nor a network.

The page has the tables and plots of the results, a slider that compares two codecs on a picture at
equal rates, and every measured point of every picture.

    write_report("report.html", title=..., sections=[...], points=points, pictures=[...], ...)
"""

from evaluation.report.content import ComparedPicture, Reconstruction, Section
from evaluation.report.markup import markdown_table_to_html, plot_to_html
from evaluation.report.page import write_report

__all__ = [
    "ComparedPicture",
    "Reconstruction",
    "Section",
    "markdown_table_to_html",
    "plot_to_html",
    "write_report",
]
