"""An environment that records its matches, and a plain reference implementation of the advantages of a match.

`Recorder` wraps any environment. It flattens observations and appends the number of the decision (match, step, agent)
to each, so that a training row identifies its decision. `plain_advantages` computes the rows of one agent in one match
one after the other.
"""

from dataclasses import dataclass, field

import numpy as np
from gymnasium import spaces

from marl_app.envs.batched import BatchedEnv


@dataclass
class Match:
    """The steps of one match: `seen[t][agent]` is the observation before step t, with one more after the last step."""

    number: int
    start: int  # the Recorder's step in which the match began
    seen: list = field(default_factory=list)
    acting: list = field(default_factory=list)
    learned: list = field(default_factory=list)  # [agents] bool: True where the trainee decided, outside the opening
    masks: list = field(default_factory=list)
    actions: list = field(default_factory=list)
    rewards: list = field(default_factory=list)
    terminated: list = field(default_factory=list)  # [agents] bool: the agent's episode ended in this step
    truncated: list = field(default_factory=list)
    seen_when_cut: dict = field(default_factory=dict)  # (step, agent) -> the observation after that step
    over: bool = False
    scores: np.ndarray | None = None
    slot: int = -1
    side: int = 0

    @property
    def length(self):
        return len(self.rewards)

    def finished(self, step, agent):
        """Return whether the agent's last episode had ended before this step, and no new one has begun."""
        for earlier in reversed(range(step)):
            if self.terminated[earlier][agent] or self.truncated[earlier][agent]:
                return not any(self.acting[later][agent] for later in range(earlier + 1, min(step + 1, self.length)))
        return False


class Recorder(BatchedEnv):
    """A wrapper that records `inner` in `matches`; `matchups` is the env runner's, which says which player decides."""

    STEPS = 64  # an upper bound of the length of a match, for the numbers of decisions

    def __init__(self, inner: BatchedEnv) -> None:
        self.inner = inner
        self.num_matches, self.agents, self.sides = inner.num_matches, inner.agents, inner.sides
        self.openings = inner.openings
        self.groups = tuple(group._replace(observation_space=tagged(group.observation_space)) for group in inner.groups)
        self.matches: list[Match] = []
        self.running: list[Match] = []
        self.steps = 0
        self.matchups = None

    def reset(self, rng, matches=None):
        self.inner.reset(rng, matches)
        if matches is None:
            self.running = [None] * self.num_matches
        for match in range(self.num_matches) if matches is None else matches:
            self.running[match] = Match(len(self.matches), self.steps)
            self.matches.append(self.running[match])

    def acting(self):
        return self.inner.acting()

    def observe(self, matches, agents):
        plain = self.inner.observe(matches, agents).reshape(len(matches), -1).astype(np.float32)
        ids = [self.decision(self.running[m], self.running[m].length, a) for m, a in zip(matches, agents, strict=True)]
        return np.concatenate([plain, np.array(ids, np.float32)[:, None]], axis=1)

    def decision(self, match, step, agent):
        """Return the number of a decision, below 2^24, so that float32 represents it exactly."""
        number = (match.number * self.STEPS + step) * len(self.agents) + int(agent)
        assert number < 2**24 and step < self.STEPS
        return number

    def where(self, decision):
        """Return (match, step, agent) of a decision's number: the inverse of `decision`."""
        rest, agent = divmod(int(decision), len(self.agents))
        number, step = divmod(rest, self.STEPS)
        return self.matches[number], step, agent

    def action_mask(self, matches, agents):
        return self.inner.action_mask(matches, agents)

    def step(self, actions, rng):
        acting = self.acting()
        pairs = np.ones_like(acting).nonzero()  # all (match, agent)
        # [matches, agents]: -1 where the trainee plays
        players = self.matchups.deciding_slots(*pairs).reshape(acting.shape)
        opening = self.matchups.in_opening(np.arange(self.num_matches))
        seats = {a: (g, place) for g, group in enumerate(self.groups) for place, a in enumerate(group.agents)}
        for b, match in enumerate(self.running):
            match.slot, match.side = int(self.matchups.slots[b].max()), int(self.matchups.sides[b])
            match.seen.append([self.observe(np.array([b]), np.array([a]))[0] for a in range(len(self.agents))])
            match.acting.append(acting[b].copy())
            match.learned.append(acting[b] & (players[b] == -1) & ~opening[b])
            masks, chosen = {}, {}
            for agent in np.flatnonzero(acting[b]):
                mask = self.inner.action_mask(np.array([b]), np.array([agent]))
                masks[agent] = None if mask is None else mask[0]
                group, place = seats[agent]
                chosen[agent] = np.array(actions[group][b, place])
            match.masks.append(masks)
            match.actions.append(chosen)
        result = self.inner.step(actions, rng)
        self.steps += 1
        for b, match in enumerate(self.running):
            match.rewards.append(result.rewards[b].copy())
            match.terminated.append(result.terminated[b].copy())
            match.truncated.append(result.truncated[b].copy())
            match.over = bool(result.over[b])
            for agent in np.flatnonzero(result.truncated[b]):
                row = self.observe(np.array([b]), np.array([agent]))[0]
                match.seen_when_cut[match.length - 1, int(agent)] = row
            if match.over:
                match.seen.append([self.observe(np.array([b]), np.array([a]))[0] for a in range(len(self.agents))])
                match.scores = self.inner.scores(np.array([b]))[0]
        return result

    def scores(self, matches):
        return self.inner.scores(matches)


def tagged(space):
    """Return the space of flat observations with one more entry: the decision's number."""
    return spaces.Box(-np.inf, np.inf, (int(np.prod(space.shape)) + 1,), np.float32)


def untagged(weights):
    """Return the weights with zeros for the last input, so that networks ignore the decision's number."""
    return {
        name: np.concatenate([value[:, :-1], np.zeros_like(value[:, :1])], axis=1)
        if name.endswith("encoder.1.weight")
        else value
        for name, value in weights.items()
    }


def acts_next(match, step, agent):
    """Return whether the agent acts in the step after the fragment: then its last row is complete."""
    return step < len(match.acting) and match.acting[step][agent]


def plain_advantages(match, agent, bounds, value, gamma, lambda_):
    """Compute an agent's rows of one match: `{fragment: {step: (advantage, value target)}}`, and the held step.

    bounds: [(first, last)] steps of the match, half-open, in each fragment that the recording covers.
    value(fragment, row): the critic's value of an observation row with that fragment's weights. The value of a decision
    comes from the weights that made it, also if the row is trained on with a later fragment.
    The held step is the decision whose row is incomplete when the recording ends, or None.
    """
    taught, held = {}, None
    decided_in = {t: fragment for fragment, (first, last) in bounds.items() for t in range(first, last)}

    def decision_value(t):
        return value(decided_in[t], match.seen[t][agent])

    for fragment, (first, last) in bounds.items():
        decisions = [] if held is None else [held]
        decisions += [t for t in range(first, last) if match.learned[t][agent]]
        held = None
        if not decisions:
            continue
        # One entry per decision: (reward until the next one, the value of what follows, whether that is a decision).
        rows = []
        for t, following in zip(decisions, [*decisions[1:], None], strict=True):
            stop = last if following is None else following
            ends = [s for s in range(t, stop) if match.terminated[s][agent] or match.truncated[s][agent]]
            stop = ends[0] + 1 if ends else stop
            reward = sum(float(match.rewards[s][agent]) for s in range(t, stop))
            if ends and match.terminated[ends[0]][agent]:
                rows.append((reward, 0.0, False))
            elif ends:
                rows.append((reward, value(fragment, match.seen_when_cut[ends[0], agent]), False))
            elif following is not None:
                rows.append((reward, decision_value(following), True))
            elif acts_next(match, stop, agent):
                rows.append((reward, value(fragment, match.seen[stop][agent]), False))
            else:
                held = t
                rows.append(None)
        advantage = 0.0
        for t, row in reversed(list(zip(decisions, rows, strict=True))):
            if row is None:
                continue  # completed with the next fragment; the row before it is bootstrapped from its value
            reward, after, goes_on = row
            advantage = reward + gamma * after - decision_value(t) + (gamma * lambda_ * advantage if goes_on else 0.0)
            taught.setdefault(fragment, {})[t] = (advantage, advantage + decision_value(t))
    return taught, held
