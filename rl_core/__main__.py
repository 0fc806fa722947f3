"""`python -m rl_core`: the same command as `rl-core`."""

from rl_core.cli import main

if __name__ == "__main__":
    main()
