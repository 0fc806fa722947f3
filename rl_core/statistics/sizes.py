"""Explains a result in R and one in money that point in different directions."""


def signs_differ(mean_r: float | None, money: float) -> str | None:
    """Why mean R and money have different signs; None where they agree or there is no trade."""
    if mean_r is None or mean_r * money >= 0:
        return None
    return (
        "mean R and money have different signs because trades differ in size: R counts every trade alike, money counts "
        "a trade that risks more dollars for more"
    )
