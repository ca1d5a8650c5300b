from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import InvalidInput
from plugins.pam.config.cron import check_cron


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "0 3 * * SUN",
        "*/5 0-6/2 1,15 jan-mar MON-FRI",
        "59 23 31 12 7",
        "0,30 * * * 0",
    ],
)
def test_usual_schedules_are_taken_as_they_are(text: str) -> None:
    """Names in any case, ranges, steps and lists."""
    assert check_cron(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 fields"),
        ("* * * * * *", "has 6 fields"),
        ("60 * * * *", "'60' is no minute: it is 0 to 59"),
        ("* 24 * * *", "'24' is no hour"),
        ("* * 0 * *", "'0' is no day of month"),
        ("* * * 13 *", "'13' is no month"),
        ("* * * * 8", "'8' is no day of week"),
        ("* * * MON *", "'MON' is no month"),
        ("5-3 * * * *", "range '5-3' of the minute runs backwards"),
        ("*/0 * * * *", "step 0 of the minute is not 1 to 59"),
        ("*-3 * * * *", "'*-3' is no minute of a schedule"),
        ("1,,2 * * * *", "'' is no minute of a schedule"),
        ("\u0663 * * * *", "is no minute of a schedule"),
    ],
)
def test_the_wrong_field_is_named(text: str, message: str) -> None:
    """What is wrong and where."""
    with pytest.raises(InvalidInput) as refused:
        check_cron(text)
    assert message in refused.value.message


@given(st.text(alphabet="0123456789*/-, JANMOU\u00b2\u0663", max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    """No other error comes out, and what is taken is taken again."""
    try:
        taken = check_cron(text)
    except InvalidInput:
        return
    assert check_cron(taken) == taken
