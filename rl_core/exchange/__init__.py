"""What the exchange fixes: when its sessions are, and the facts of its contracts."""
