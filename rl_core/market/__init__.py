"""What happens inside one bar, written once over an array namespace: `jax.numpy` or plain integers."""
