"""How many of something there are, in words."""


def counted(number: int, noun: str) -> str:
    """The number with its noun, which takes an s unless there is one: `1 seed`, `1,000 seeds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
