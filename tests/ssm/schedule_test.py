"""With any faults of the network, both byte streams arrive whole, or there is a reason."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.soak import SOAK
from tests.ssm.agent_model import READ, Plan
from tests.ssm.world import DOWN, UP, Weather, World

SCHEDULES = 200_000 if SOAK else 600
MACHINES = 20_000 if SOAK else 50

plans = st.builds(
    Plan,
    mux=st.booleans(),
    encrypted=st.sampled_from([False, False, False, True]),
    dial_takes=st.sampled_from([0.0, 0.001, 0.03, 0.3, 2.0]),
    unaware=st.sampled_from([0.0, 0.001, 0.02]),
)
weathers = st.builds(
    Weather,
    loss=st.sampled_from([0.0, 0.0, 0.02, 0.2]),
    duplication=st.sampled_from([0.0, 0.0, 0.1]),
    reordering=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    ack_loss=st.sampled_from([0.0, 0.0, 0.3]),
    delay=st.sampled_from([0.0, 0.0005, 0.02, 0.15]),
    large=st.sampled_from(["taken", "taken", "taken", "dropped", "cut"]),
)
sides = st.sampled_from([UP, DOWN])
sizes = st.sampled_from([1, 2, 500, 1024, 1025, 5000, 40_000])
up_sizes = st.sampled_from([1, 1000, 1025, 20_000, 40_000, 150_000])
times = st.sampled_from([0.001, 0.01, 0.1, 0.5, 3.0])

actions = st.one_of(
    st.tuples(st.just("write"), up_sizes),
    st.tuples(st.just("speak"), sizes),
    st.tuples(st.just("run"), times),
    st.tuples(st.just("keystroke")),
    st.tuples(st.just("cut"), sides, times),
    st.tuples(st.just("pause"), sides),
    st.tuples(st.just("start"), sides),
    st.tuples(st.just("block"), times),
)


def perform(world: World, name: str, *arguments: object) -> None:
    """Do one action; a size becomes that many random bytes."""
    if name in {"write", "speak"}:
        size = arguments[0]
        assert isinstance(size, int)
        data = b"\n" if size == 1 else world.random.randbytes(size)
        getattr(world, name)(data)
    else:
        getattr(world, name)(*arguments)


@settings(max_examples=SCHEDULES)
@given(
    plan=plans,
    weather=weathers,
    schedule=st.lists(actions, max_size=12),
    seed=st.integers(0, 2**32),
    limit=st.sampled_from([32768, 32768, 1024, 4096]),
    agent_ends=st.booleans(),
)
@example(  # the large message waits for its turn behind an older one that was lost
    plan=Plan(),
    weather=Weather(loss=0.02, ack_loss=0.3, delay=0.0),
    schedule=[
        ("block", 3.0),
        ("run", 3.0),
        ("write", 20_000),
        ("run", 0.5),
        ("write", 40_000),
        ("cut", UP, 0.001),
    ],
    seed=3499,
    limit=32768,
    agent_ends=False,
)
def test_both_streams_arrive_or_there_is_a_reason(
    plan: Plan,
    weather: Weather,
    schedule: list[tuple[str, ...]],
    seed: int,
    limit: int,
    *,
    agent_ends: bool,
) -> None:
    world = World(plan, weather, seed, limit)
    for action in schedule:
        perform(world, *action)
        world.run(0.002)
    world.conclude(agent_ends=agent_ends)
    expect_reason(world, weather)


def expect_reason(world: World, weather: Weather) -> None:
    """Only a refused large message may end a connection early."""
    if weather.large == "taken" and world.reason:
        assert "1,024" in world.reason
        assert world._epochs[UP] >= 2  # two connections broke before the message had an ack


class Life(RuleBasedStateMachine):
    """The same, but hypothesis chooses each step after it has seen the result of the last one."""

    @initialize(plan=plans, weather=weathers, seed=st.integers(0, 2**32))
    def begin(self, plan: Plan, weather: Weather, seed: int) -> None:
        self.weather = weather
        self.world = World(plan, weather, seed)

    @rule(action=actions)
    def act(self, action: tuple[str, ...]) -> None:
        perform(self.world, *action)

    @rule(duration=times)
    def wait(self, duration: float) -> None:
        self.world.run(duration)

    @precondition(lambda self: self.world.opened)
    @rule()
    def type_while_open(self) -> None:
        self.world.keystroke()

    @rule(weather=weathers)
    def change_weather(self, weather: Weather) -> None:
        weather.large = self.weather.large
        self.world.weather = weather

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.conclude(agent_ends=self.world.random.random() < 0.5)
            expect_reason(self.world, self.weather)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=MACHINES, stateful_step_count=20)


@settings(max_examples=SCHEDULES // 10)
@given(weather=weathers, seed=st.integers(0, 2**32), delay=st.sampled_from([0.0, 0.1]))
def test_a_closed_port_is_reported(weather: Weather, seed: int, delay: float) -> None:
    world = World(Plan(mux=True, refuses=True, dial_takes=delay), weather, seed)
    world.write(b"SSH-2.0-client\r\n")
    world.run(0.1)
    world.conclude(agent_ends=False)
    assert world.refused


def test_missed_acks_do_not_delay_lost_messages() -> None:
    world = World(Plan(), Weather(), seed=1)
    world.run(1)
    world.weather = Weather(ack_loss=1)
    world.speak(bytes(100 * READ))
    world.run(0.3)
    world.weather = Weather(loss=1)
    world.speak(b"lost")
    world.run(0.01)
    world.weather = Weather()
    world.speak(b"and what came behind it")
    world.run(2)  # without our repeated acks, the agent would need 10 s
    assert bytes(world.received) == bytes(world.spoken)
