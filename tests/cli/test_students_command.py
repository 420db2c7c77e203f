"""`distilrec students` prints what there is to choose from."""

import re

from distilrec.models.students import SIZES, student_kinds


def test_every_kind_and_size_is_printed_with_its_numbers(command):
    called = command("students", "--items", "1000")
    assert called.code == 0
    for kind in student_kinds():
        for size in SIZES:
            assert re.search(rf"│ {kind} +│ +{size} │", called.out)
    # 1000 items of width 64; places, attention, feed-forward and norms; the sum, in four bytes each
    assert re.search(r"│ transformer +│ +small │ +64,000 │ +28,544 │ +92,544 │ +0\.37 │", called.out)
    assert "a student of 1,000 items ships" in called.out


def test_a_catalogue_without_items_is_refused(command):
    called = command("students", "--items", "0")
    assert called.code == 2
    assert "--items" in called.err
