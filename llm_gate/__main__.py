"""`python -m llm_gate`: the same command as `llm-gate`."""

from llm_gate.cli import main

if __name__ == "__main__":
    main()
