"""`rl-core`: train a phase, evaluate a checkpoint, prove the learner, and make or check bars files."""

from rl_core.commands import evaluate, proofs, sweep, train, walk_forward
from rl_core.commands.data import data
from trigate.command_line import new_app, run_command

app = new_app("Train a trading policy in two phases, judge it, prove the learner, and make or check bars files.")
train.register(app)
evaluate.register(app)
walk_forward.register(app)
sweep.register(app)
proofs.register(app)
app.add_typer(data, name="data", help="Bars files: synthetic worlds, strict checks, vendor files, look-ahead, regimes.")


def main() -> None:
    """Run a command; a fault of the world is one line and its exit code."""
    run_command(app, "rl-core")
