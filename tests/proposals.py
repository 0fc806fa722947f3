"""A proposal's context that nothing speaks against."""

CONTEXT = {
    "trend_15_atr_milli": 800,
    "trend_60_atr_milli": 1500,
    "trend_240_atr_milli": 2600,
    "volatility_percentile": 40,
    "regime": "up/calm",
    "session_part": "midday",
    "minutes_to_flat": 180,
    "room_to_floor_risks_milli": 8000,
    "losing_streak": 0,
}
