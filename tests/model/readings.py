"""What a run database may say of a run: anything at all, and what is worth following for long."""

from typing import Any

from hypothesis import strategies as st

from tests.model.oracle import SECOND, SETTLE

BEGIN = 1_700_000_000  # s

times = st.one_of(st.none(), st.integers(-3, 2).map(lambda days: (BEGIN + days * SETTLE) * SECOND))
anything = st.fixed_dictionaries(
    {
        "run_type": st.sampled_from([None, "scan", "ramp", "slow", "physics", ""]),
        "recorded": st.sampled_from([None, 0, 1]),
        "clean_stop": st.sampled_from([None, 0, 1]),
        "tier0_tag": st.sampled_from([None, "", "bad", "L1Calo"]),
        "notes": st.sampled_from([None, '{"tier0_tag":{"final":false,"from":3}}']),
        "stored_events": st.sampled_from([None, 0, 50, 500]),
        "recorded_events": st.sampled_from([None, 0, 50, 500]),
        "start": times,
        "end": times,
        "last_lb_end": times,
    }
)
complete: dict[str, Any] = {
    "run_type": "scan",
    "recorded": 1,
    "clean_stop": 1,
    "tier0_tag": "L1Calo",
    "notes": None,
    "stored_events": 500,
    "recorded_events": 500,
    "start": (BEGIN - 3600) * SECOND,
    "end": BEGIN * SECOND,
    "last_lb_end": None,
}
good = st.sampled_from(
    [
        complete,
        {**complete, "run_type": "ramp"},
        {**complete, "run_type": "ramp", "stored_events": 50},  # a person must validate it
        {**complete, "clean_stop": 0},  # a conflict
        {**complete, "clean_stop": 0, "recorded": 0},
        {**complete, "end": None, "recorded": None, "last_lb_end": BEGIN * SECOND},  # still going
    ]
)
