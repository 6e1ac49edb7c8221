from ugicm_evaluation.report.document import insert

PAGE = """# Models

Before.

<!-- report of a: begin -->

old

<!-- report of a: end -->

After.
"""


def test_a_section_takes_the_place_of_the_one_before():
    page = insert(PAGE, "a", "new\n")
    assert page == PAGE.replace("old", "new")
    assert insert(page, "a", "new\n") == page


def test_a_first_section_goes_to_the_end():
    page = insert(PAGE, "b", "other")
    assert page.startswith(PAGE.rstrip())
    assert page.endswith("<!-- report of b: begin -->\n\nother\n\n<!-- report of b: end -->\n")
