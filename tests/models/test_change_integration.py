"""The integrated series against brute force over all states, and against belief propagation by pgmpy where that is installed."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.change_integration import FREE, NEVER, Chain, Rule, _best, _cycle, allowed_series, edges_of, integrated, margins, terms

KINDS = ("adjacent", "cyclic", "dense", "firstlast")


def by_brute_force(unary, change, edges, rule=FREE):
    """Of one pixel: the best allowed series and, of each date, by how much state 1 is better than 0; written as the definition reads."""
    scores = {}
    for states in product((0, 1), repeat=len(unary)):
        turns = [date for date in range(1, len(states)) if states[date] != states[date - 1]]
        if rule.monotone and any(states[date] < states[date - 1] for date in turns):
            continue
        if any(after - before < rule.least_dates for before, after in pairwise(turns)):
            continue
        number = sum(state << date for date, state in enumerate(states))
        score = int(np.dot(states, unary)) + sum(int(c) for c, (i, j) in zip(change, edges, strict=True) if states[i] != states[j])
        scores[(score, -number)] = states
    best = scores[max(scores)]
    told = [
        max((key[0] for key, states in scores.items() if states[date]), default=NEVER)
        - max((key[0] for key, states in scores.items() if not states[date]), default=NEVER)
        for date in range(len(unary))
    ]
    return best, told


@st.composite
def drawn_terms(draw):
    """Terms of up to six dates, some hidden, from few values, so that ties are many, or from as many as probabilities have."""
    dates, kind = draw(st.integers(1, 6)), draw(st.sampled_from(KINDS))
    edges = edges_of(kind, dates)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    few = draw(st.booleans())
    each = [random.integers(-2, 3, (size, 24)) if few else terms(random.random((size, 24))) for size in (dates, len(edges))]
    each[0][random.random(each[0].shape) < draw(st.sampled_from((0.0, 0.4)))] = 0
    rule = Rule(draw(st.booleans()), draw(st.integers(1, 3)))
    return each[0].astype(np.int32), each[1].astype(np.int32).reshape(len(edges), 24), edges, rule


@settings(max_examples=300, deadline=None)
@given(drawn_terms())
def test_no_series_is_better_and_ties_go_to_the_least(drawn):
    unary, change, edges, rule = drawn
    states, told = integrated(unary, change, edges, rule), margins(unary, change, edges, rule)
    for pixel in range(unary.shape[1]):
        best, margin = by_brute_force(unary[:, pixel], change[:, pixel], edges, rule)
        assert states[:, pixel].tolist() == list(map(bool, best))
        assert [m for m in told[:, pixel].tolist() if abs(m) < -NEVER // 2] == [m for m in margin if abs(m) < -NEVER // 2]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_long_cycles_as_all_series_tell(seed, few):
    """What is done above 12 dates, on 9 that can be compared with all series."""
    random = np.random.default_rng(seed)
    unary = (random.integers(-2, 3, (9, 40)) if few else terms(random.random((9, 40)))).astype(np.int32)
    change = (random.integers(-2, 2, (9, 40)) if few else terms(random.random((9, 40)) / 2)).astype(np.int32)
    assert np.array_equal(_cycle(unary, change), integrated(unary, change, edges_of("cyclic", 9)))


def test_one_more_date_gives_what_all_dates_give_at_once():
    random = np.random.default_rng(5)
    unary, change = terms(random.random((11, 300))), terms(random.random((10, 300)) / 3)
    chain = Chain(300)
    for date in range(11):
        chain.append(unary[date], change[date - 1] if date else None)
        whole = _best(unary[: date + 1], change[:date], edges_of("adjacent", date + 1), allowed_series(date + 1, FREE))
        assert np.array_equal(chain.states(), whole)


def test_how_pixels_are_parted_does_not_matter():
    random = np.random.default_rng(6)
    unary, change = terms(random.random((12, 5000))), terms(random.random((66, 5000)))
    whole = integrated(unary, change, edges_of("dense", 12))
    parts = [integrated(unary[:, part], change[:, part], edges_of("dense", 12)) for part in (slice(0, 1), slice(1, 777), slice(777, None))]
    assert np.array_equal(np.concatenate(parts, 1), whole)


def test_what_is_built_stays_in_a_long_series_with_every_edge():
    """68 dates, all pairs: only the 69 series that never turn back are compared."""
    random = np.random.default_rng(7)
    unary, change = terms(random.random((68, 30))), terms(random.random((68 * 67 // 2, 30)))
    states = integrated(unary, change, edges_of("dense", 68), Rule(monotone=True))
    assert (np.diff(states.astype(int), axis=0) >= 0).all()
    built_from = np.arange(68) >= 68 - np.arange(69)[:, None]
    turned = np.array([[series[i] != series[j] for i, j in edges_of("dense", 68)] for series in built_from])
    assert states.sum(0).tolist() == (built_from @ unary + turned @ change).argmax(0).tolist()


def test_a_single_date_is_a_threshold():
    probability = np.array([[0.0, 0.2, 0.5, 0.51, 1.0, np.nan]])
    assert integrated(terms(probability), np.zeros((0, 6), np.int32), []).tolist() == [[False, False, False, True, True, False]]


def test_too_many_dates_for_all_series_are_refused():
    unary, change = np.zeros((13, 4), np.int32), np.zeros((78, 4), np.int32)
    with pytest.raises(ValueError, match="13 dates with 78 edges"):
        integrated(unary, change, edges_of("dense", 13))
    with pytest.raises(ValueError, match="13 dates with 78 edges"):
        margins(unary, change, edges_of("dense", 13))
