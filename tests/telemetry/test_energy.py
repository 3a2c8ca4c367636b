from __future__ import annotations

from miner.telemetry.device_fold import LONGEST, Drawn


def test_the_mean_is_that_of_the_time_and_not_of_the_readings() -> None:
    drawn = Drawn()
    drawn.add(0.0, 100.0)
    drawn.add(9.0, 200.0)
    assert drawn.mean(10.0, 10.0) == 110.0
    assert drawn.mean(10.0, 1.0) == 200.0


def test_what_is_not_told_is_left_out_and_what_is_not_told_now_is_unknown() -> None:
    drawn = Drawn()
    assert drawn.mean(0.0, 10.0) is None
    drawn.add(0.0, 100.0)
    drawn.add(2.0, None)
    assert drawn.mean(3.0, 10.0) is None
    drawn.add(4.0, 200.0)
    assert drawn.mean(6.0, 10.0) == 150.0


def test_no_more_is_kept_than_is_asked_for() -> None:
    drawn = Drawn()
    for second in range(1000):
        drawn.add(float(second), 100.0)
    assert len(drawn._readings) <= LONGEST + 2
    assert drawn.mean(999.0, LONGEST) == 100.0
