"""What the three packages share: faults and exit codes, files, locks, settings, pages; it imports none of them."""
