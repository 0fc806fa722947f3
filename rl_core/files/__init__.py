"""Files written whole or not at all, and configuration read strictly."""
