"""What the three packages share: faults, files, locks, settings, pages; it imports none of them (DECISIONS 16)."""
