"""A saved size line for a gate of one's choice."""

from llm_gate.review.size_line import AskedAs, LineTried, SizeLine

THREE_RISKS = 3_000


def size_line(gate: AskedAs, *, halve_under: int = THREE_RISKS, rule_pack_digest: str = "0" * 64) -> SizeLine:
    """By dollars, of two lines."""
    return SizeLine(
        gate=gate,
        rule_pack="a pack",
        rule_pack_digest=rule_pack_digest,
        halve_under=halve_under,
        by="dollars",
        tried=(
            LineTried(halve_under=0, passes=0.5, sessions=9.0, dollars=100.0),
            LineTried(halve_under=1_500, passes=0.6, sessions=9.5, dollars=90.0),
            LineTried(halve_under=THREE_RISKS, passes=0.75, sessions=12.5, dollars=1_250.0),
        ),
        gains=(900.0, 1_200.0, 1_400.0, 1_000.0, 1_250.0),
        sessions=90,
        last_session=89,
        trials=8,
    )
