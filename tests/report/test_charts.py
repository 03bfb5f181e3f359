"""Coordinates, degenerate values and texts of the SVG charts."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustrec.reading.gate_axis import in_limits
from robustrec.report.html.charts.cells import shade, shade_key, strip, surface
from robustrec.report.html.charts.curves import Level, LimitAt, Series, Upright, bounds_of, curves
from robustrec.report.html.charts.elements import CROSS, PLAIN, key, mark
from robustrec.report.html.charts.gate_row import AXIS, gate_axis, gate_row
from robustrec.report.html.charts.intervals import Bar, IntervalRow, Limit, interval_scale, intervals
from robustrec.report.html.charts.placement import box_of, placed, width_of
from robustrec.report.html.charts.scale import Scale, scale_around, scale_of, tick_labels, ticks
from robustrec.report.html.charts.scatter import NARROW, WIDE, Border, Point, scatter

NAN, INF = math.nan, math.inf
HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e]]>"
ANY = st.one_of(st.floats(), st.sampled_from([0.0, NAN, INF, -INF, 1e300, -1e300, 5e-324]))


def tree(markup):
    """The elements of a chart, which is well-formed, has no style, no script, and only finite coordinates."""
    root = ET.fromstring(f"<div>{markup}</div>")
    for each in root.iter():
        assert each.tag not in {"script", "style", "image", "foreignObject"}
        assert not {"style", "href"} & set(each.attrib)
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "r", "points", "d", "transform"):
            assert not re.search(r"nan|inf|--", each.get(name, "")), (each.tag, each.attrib)
        for name in ("x", "x1", "x2"):
            if each.get(name, "").endswith("%"):
                assert 0 <= float(each.get(name)[:-1]) <= 100
        if each.get("role") == "img":
            assert each.get("aria-label")
    return root


def of_class(root, name):
    return [each for each in root.iter() if name in each.get("class", "").split()]


def percent_of(each, name="x"):
    return float(each.get(name).removesuffix("%"))


def test_a_scale_places_values_in_proportion_and_keeps_them_on_the_axis():
    scale = Scale(-10, 30)
    assert [scale.place(value) for value in (-10, 0, 30, -99, 1e308, -INF)] == [0, 0.25, 1, 0, 1, 0]
    log = Scale(1e-4, 1, log=True)
    assert [log.place(value) for value in (1e-4, 1e-2, 1, 0, -1)] == pytest.approx([0, 0.5, 1, 0, 0])


@pytest.mark.parametrize(
    ("values", "log", "holds"),
    [
        ([], False, 0.5),
        ([NAN, None, INF], False, 0.5),
        ([3.0], False, 3.0),
        ([0.0, 0.0], False, 0.0),
        ([-5.0, -5.0], False, -5.0),
        ([1e6, 1e6 + 1e-9], False, 1e6),
        ([-1e308, 1e308], False, 0.0),
        ([5e-324], False, 0.0),
        ([0.0, 1.0], True, 0.5),
        ([1e-3], True, 1e-3),
        ([1e-300, 1e300], True, 1.0),
    ],
)
def test_every_scale_has_a_length_and_ticks(values, log, holds):
    scale = scale_of(values, log=log)
    assert scale.low < scale.high
    assert math.isfinite(scale.high - scale.low)
    assert scale.holds(holds)
    found = ticks(scale)
    assert 1 <= len(found) <= 6
    assert found == sorted(found)
    assert all(tick_labels(found))


def test_ticks_are_round_and_their_labels_have_equal_decimals():
    assert ticks(Scale(-0.152, 0.112), 6) == pytest.approx([-0.15, -0.1, -0.05, 0, 0.05, 0.1])
    assert tick_labels(ticks(Scale(-0.152, 0.112), 6), percent=True, signed=True) == [
        "−15",
        "−10",
        "−5",
        "0",
        "+5",
        "+10",
    ]
    assert tick_labels([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert tick_labels([1e-6, 2e-6]) == ["1e-6", "2e-6"]
    assert tick_labels([1e6, 1e6 + 1]) == ["1000000", "1000001"]
    assert tick_labels([-0.0, 1.0]) == ["0", "1"]
    assert ticks(Scale(1e-6, 1, log=True)) == pytest.approx([1e-6, 1e-4, 1e-2, 1])
    assert ticks(Scale(2, 60, log=True)) == pytest.approx([2, 5, 10, 20, 50])


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY, max_size=6), st.booleans())
def test_any_values_have_a_scale_with_distinct_ticks(values, log):
    scale = scale_of(values, log=log)
    found = ticks(scale)
    assert scale.low < scale.high
    assert len(set(found)) == len(found) >= 1
    assert all(0 <= scale.place(value) <= 1 for value in found)
    assert len(tick_labels(found)) == len(found)


def test_one_wide_interval_does_not_press_the_others_together():
    scale = scale_around([-0.01, 0.01], [-0.02, -0.02, -50], [0.02, 0.02, 90])
    assert (scale.low, scale.high) == pytest.approx((-0.06, 0.06), abs=0.01)


def rows_of(*bars, limits=()):
    return [IntervalRow("typos", "judged", bars, limits)]


def test_bars_and_limits_are_at_their_places():
    limits = [Limit(-0.05, True), Limit(0.05, False, False)]
    found = rows_of(Bar(0, -0.02, -0.04, 0.01, "vanilla −2 %"), Bar(1, 0.03, 0.01, 0.04), limits=limits)
    scale, root = interval_scale(found), tree(intervals(found, percent=True))
    first, second = of_class(root, "ci")
    assert (percent_of(first, "x1"), percent_of(first, "x2")) == pytest.approx(
        (100 * scale.place(-0.04), 100 * scale.place(0.01)), abs=0.01
    )
    assert float(second.get("y1")) - float(first.get("y1")) == 13
    assert [percent_of(each) for each in of_class(root, "mkr")] == pytest.approx(
        [100 * scale.place(-0.02), 100 * scale.place(0.03)], abs=0.01
    )
    assert ["hol" in each.get("class").split() for each in of_class(root, "mkr")] == [True, False]
    left, right = of_class(root, "lim")
    assert (left.get("class"), right.get("class")) == ("lim", "lim warning")
    assert [each.get("transform") for each in of_class(root, "limf")] == ["translate(-14)", None]
    assert "typos: vanilla −2 %" in [each.get("aria-label") for each in root.iter()]


def test_a_row_without_a_limit_has_none_and_the_middle_of_the_axis_has_the_unit():
    found = [*rows_of(Bar(0, 0.1, 0, 0.2), limits=[Limit(-0.05, True)]), *rows_of(Bar(0, 0.1, 0, 0.2))]
    root = tree(intervals(found, percent=True))
    with_limit = [len(of_class(row, "lim")) for row in of_class(root, "fp")]
    assert with_limit == [1, 0]
    assert [text.text for text in root.iter("text") if "%" in text.text] == ["0\N{NO-BREAK SPACE}%"]


def test_an_interval_beyond_the_axis_ends_in_an_arrow():
    found = rows_of(Bar(0, 0.01, -9, 9), Bar(1, 0.02, 0.01, 0.03), Bar(2, 0.0, -0.01, 0.01))
    root = tree(intervals(found))
    assert [percent_of(each) for each in of_class(root, "arr")] == [0, 100]


@pytest.mark.parametrize(
    "bar",
    [
        Bar(0, None),
        Bar(0, NAN, NAN, NAN),
        Bar(0, 1, None, None),
        Bar(0, 1, 1, 1),
        Bar(0, INF, -INF, INF),
        Bar(CROSS, 2),
    ],
)
def test_what_is_not_known_is_not_drawn(bar):
    root = tree(intervals(rows_of(bar), percent=True))
    known = bar.estimate is not None and math.isfinite(bar.estimate)
    assert len(of_class(root, "mkr")) == known
    assert len(of_class(root, "ci")) == (bar.low == 1)


def test_an_estimate_without_an_interval_is_hollow():
    assert of_class(tree(intervals(rows_of(Bar(0, 1)))), "hol")
    assert not of_class(tree(intervals(rows_of(Bar(0, 1, 1, 1)))), "hol")


@pytest.mark.parametrize(("n_rows", "n_bars"), [(0, 0), (1, 1), (60, 4), (1, 40)])
def test_bars_stay_inside_their_row(n_rows, n_bars):
    found = [
        IntervalRow(f"condition {row} " * 9, "", [Bar(at % 4, at / 9 - row, -row, 9.0) for at in range(n_bars)])
        for row in range(n_rows)
    ]
    root = tree(intervals(found))
    for plot in of_class(root, "fp"):
        (svg,) = plot
        heights = [float(each.get("y")) for each in of_class(svg, "mkr")]
        assert all(5 <= height <= float(svg.get("height")) - 5 for height in heights)
        assert all(after - before >= 12 for before, after in itertools.pairwise(heights))


def test_curves_pass_through_their_points():
    series = [Series("vanilla", 0, [1, 3, 5], [-0.01, -0.02, -0.04], [-0.02, -0.05, -0.06], [0.01, 0.0, -0.02])]
    y = Scale(-0.06, 0.02)
    root = tree(curves(series, words="w", y=y, height=160, at_points=True, percent=True, marks_zero=True))
    (line,) = of_class(root, "ln")
    places = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert [down for _, down in places] == pytest.approx([60, 80, 120], abs=0.01)
    assert places[1][0] == pytest.approx(50, abs=0.01)
    marks = of_class(root, "mkr")
    assert [percent_of(each) for each in marks] == pytest.approx([across for across, _ in places], abs=0.01)
    assert ["hol" in each.get("class") for each in marks] == [True, True, False]
    bars = of_class(root, "ci")
    assert [(float(each.get("y1")), float(each.get("y2"))) for each in bars] == [(20, 80), (40, 140), (80, 160)]
    (axis,) = of_class(root, "xa")
    assert [text.text for text in axis] == ["1", "3", "5"]


def test_a_line_breaks_where_a_point_is_missing():
    root = tree(curves([Series("a", 0, [1, 2, 3, 4, 5], [1, NAN, 2, 3, INF])], words="w"))
    assert [len(each.get("points").split()) for each in of_class(root, "ln")] == [1, 2]
    assert len(of_class(root, "mkr")) == 3


def test_many_points_have_a_band_and_no_marks():
    x = [step / 10 for step in range(1000)]
    root = tree(curves([Series("a", 2, x, x, [v - 1 for v in x], [v + 1 for v in x])], words="w"))
    assert len(of_class(root, "band")) == 1
    assert not of_class(root, "mkr")
    assert len(of_class(root, "ln")[0].get("points").split()) <= 400


def test_levels_limits_and_tolerances_are_drawn_where_they_apply():
    series = [Series("a", 1, [1e-6, 1e-3, 1], [0, -0.03, -0.2])]
    options = {"levels": [Level(-0.05, "tolerance"), Level(9, "off")], "uprights": [Upright(0.01, 1), Upright(1e9, 0)]}
    y = bounds_of(series, zero=True)
    root = tree(curves(series, words="w", y=y, log_x=True, limits=[LimitAt(1e-6, -0.02), LimitAt(1, -7)], **options))
    assert [text.text for text in of_class(root, "lt")] == ["tolerance"]
    assert len(of_class(root, "up")) == 2
    short = [each for each in of_class(root, "lim") if each.get("x2") == "12"]
    assert len(short) == 1


@pytest.mark.parametrize(
    "series",
    [
        [],
        [Series("a", 0, [], [])],
        [Series("a", 0, [1], [2])],
        [Series("a", 0, [1, 1], [2, 2], [2, 2], [2, 2])],
        [Series("a", 0, [NAN, 1], [NAN, NAN], [NAN, 1], [1, NAN])],
        [Series("a", 3, [-1e300, 1e300], [-1e308, 1e308])],
        [Series(HOSTILE, 0, [0, -1], [0, 5e-324])],
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_degenerate_curves_are_sound(series, log):
    tree(curves(series, words=HOSTILE, x_label=HOSTILE, log_x=log))


def points_of(n, step=0.37):
    return [Point(f"model {at}", (at * step) % 1, (at * step * 1.7) % 1) for at in range(n)]


@pytest.mark.parametrize("widths", [WIDE, NARROW])
@pytest.mark.parametrize("n", [1, 8, 16])
def test_labels_cover_neither_marks_nor_each_other_at_any_width(n, widths):
    places = [(each.x * 0.9 + 0.05, 20 + each.y * 280) for each in points_of(n)]
    texts = [str(at) if widths is NARROW else f"model {at}" for at in range(n)]
    found = placed(places, texts, widths=widths, height=320)
    assert found is not None
    for width in range(int(widths[0]), int(widths[-1]), 40):
        boxes = [
            box_of(at, (x * width, y), width_of(text)) for at, (x, y), text in zip(found, places, texts, strict=True)
        ]
        assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].meets(pair[1])]
        assert all(box.left >= 0 and box.right <= width and box.top >= 0 and box.bottom <= 320 for box in boxes)


def test_names_that_do_not_fit_become_numbers_with_a_key():
    few = tree(scatter(points_of(3), words="w", x_label="x", y_label="y"))
    assert not of_class(few, "numbers")
    assert {text.text for text in of_class(few, "b")} == {"model 0", "model 1", "model 2"}
    many = tree(scatter(points_of(40), words="w", x_label="x", y_label="y"))
    (listed,) = of_class(many, "numbers")
    assert len(listed) == 40
    (group,) = of_class(many, "narrow-only")[:1]
    assert {text.text for text in of_class(group, "b")} == {str(number + 1) for number in range(40)}


def test_points_at_one_place_and_missing_ones_are_sound():
    same = [Point(f"m{at}", 1, 1) for at in range(40)]
    assert len(of_class(tree(scatter(same, words="w", x_label="x", y_label="y")), "mkr")) == 40
    odd = [Point(HOSTILE, 1, 2, CROSS, ((NAN, 1), (1, 2))), Point("b", NAN, 1), Point("c", INF, 1)]
    root = tree(scatter(odd, words=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, border=Border(0.95, HOSTILE)))
    assert len(of_class(root, "mkr")) == len(of_class(root, "dot")) == 1
    assert "<script" not in ET.tostring(root, encoding="unicode")
    tree(scatter([], words="w", x_label="x", y_label="y"))


def test_a_long_leader_connects_a_label_with_its_point():
    crowd = [(0.5, 100.0 + shift) for shift in range(9)]
    found = placed(crowd, ["a name"] * 9, widths=[600], height=200)
    assert found is not None
    assert any(each.leader for each in found)


@pytest.mark.parametrize(
    ("change", "significant", "kind"),
    [
        (-0.3, True, "l5"),
        (-0.1, True, "l5"),
        (-0.06, True, "l4"),
        (-0.019, True, "l1"),
        (-0.3, False, ""),
        (0.01, True, "g1"),
        (0.5, True, "g2"),
        (0.0, True, ""),
        (NAN, True, ""),
        (None, True, ""),
    ],
)
def test_a_cell_is_filled_only_where_the_change_is_significant(change, significant, kind):
    assert shade(change, significant=significant) == kind


def test_strip_and_keys_are_sound():
    assert len(tree(strip(["", "l1", "g2"]))[0]) == 3
    assert len(tree(shade_key())[0]) == 7
    assert "&lt;b&gt;" in key([("<b>", 0)])
    assert len({mark(style, 0, 0) for style in (0, 1, 2, 3, CROSS, PLAIN)}) == 6


def test_a_surface_has_its_largest_values_in_the_darkest_shade():
    grid = [-1.0, 0.0, 1.0]
    root = tree(surface(grid, grid, [[2, 1, 2], [1, 0, 1], [2, 1, 9]], words="w", x_label="x", y_label="y", height=90))
    (darkest,) = of_class(root, "l5")[:1]
    assert darkest.tag == "rect"
    assert float(darkest.get("x")) == pytest.approx(66.67, abs=0.01)
    assert float(darkest.get("y")) == pytest.approx(0, abs=0.5)
    assert len(of_class(root, "origin")) == 1


@pytest.mark.parametrize("z", [[[1.0, 1.0], [1.0, 1.0]], [[NAN, INF], [NAN, NAN]], [[-1e308, 1e308], [0, 0]]])
def test_flat_empty_and_huge_surfaces_are_sound(z):
    tree(surface([0, 1], [5, 5], z, words="w", x_label=HOSTILE, y_label="y"))


@pytest.mark.parametrize(
    ("numbers", "limits", "expected"),
    [
        ((-0.02, -0.084, 0.035), (-0.05, 0.05), (0.4, -0.7, 1.68)),
        ((0.049, 0.037, 0.062), (-0.05, 0.05), (0.98, 0.74, 1.24)),
        ((-0.757, -0.821, -0.676), (-0.5, None), (1.514, 1.352, 1.642)),
        ((0.12, 0.11, 0.13), (0.1, None), (0.8, 0.7, 0.9)),
        ((0.08, 0.07, 0.09), (0.1, None), (1.2, 1.1, 1.3)),
        ((3.0, 2.0, 4.0), (None, 4.0), (0.75, 0.5, 1.0)),
        ((0.0, 0.0, 0.0), (0.0, None), (1.0, 1.0, 1.0)),
        ((-0.1, -0.2, 0.05), (0.0, None), (1.35, 0.825, 1.7)),
    ],
)
def test_gates_are_placed_in_units_of_their_limit(numbers, limits, expected):
    found = in_limits(*numbers, least=limits[0], most=limits[1])
    assert found[:3] == pytest.approx(expected)
    least, most = limits
    outside = (least is not None and numbers[0] < least) or (most is not None and numbers[0] > most)
    assert (found.estimate > 1 + 1e-9) == outside


def test_a_longer_interval_ends_at_the_edge_with_an_arrow():
    root = tree(gate_row(in_limits(-0.02, -0.9, 0.9, least=-0.05, most=0.05), "open", "open"))
    assert [percent_of(each) for each in of_class(root, "arr")] == [0, 100]
    (line,) = of_class(root, "ci")
    assert (line.get("x1"), line.get("x2")) == ("0%", "100%")
    assert percent_of(of_class(root, "lim")[0], "x1") == pytest.approx(70)
    one_sided = tree(gate_row(in_limits(0.2, 0.15, None, least=0.1, most=None), "pass", "pass"))
    assert [percent_of(each) for each in of_class(one_sided, "arr")] == [0]


@settings(max_examples=40, deadline=None)
@given(*[st.one_of(st.none(), ANY)] * 5)
def test_any_gate_has_a_sound_row(estimate, low, high, least, most):
    tree(gate_row(in_limits(estimate, low, high, least=least, most=most), "fail", "fail"))
    tree(gate_axis())
    assert AXIS.place(1) == pytest.approx(0.7)


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.tuples(ANY, ANY), max_size=5))
def test_any_text_and_numbers_make_a_sound_scatter(text, places):
    tree(scatter([Point(text, x, y) for x, y in places], words=text, x_label=text, y_label=text, log_x=True))
