"""Tables as Markdown and as HTML."""

from analysis.draw.tabular import Line, as_html, markdown


def test_lines_become_the_same_table_in_markdown_and_html():
    lines = [Line("block"), Line("a", "ours, kept", ["1", "<2"]), Line("", "paper", ["3", "4"])]
    assert markdown(["", "", "x", "y"], lines).splitlines()[2:] == [
        "| **block** |  |  |  |", "| a | ours, kept | 1 | <2 |", "|  | paper | 3 | 4 |",
    ]  # fmt: skip
    page = as_html(["", "", "x", "y"], lines)
    assert '<tr class="block"><th colspan="4">block</th></tr>' in page
    assert (
        '<tr class="first" data-whose="ours"><th>a</th><th>ours, kept</th><td>1</td><td>&lt;2</td></tr>'
        in page
    )
