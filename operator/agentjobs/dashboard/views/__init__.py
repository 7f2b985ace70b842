"""What pages show, as values: made from what REST answered and the time. Pure.

charts       bars and lines over time, drawn as SVG by templates/charts.html
namespaces   which namespaces a page is about, and the choice of others
overview     what runs, waits, failed and was used
reasons      the words of conditions and errors
time_axis    how time is cut into slices, and its labels
urls         addresses of the same page with something changed
"""
