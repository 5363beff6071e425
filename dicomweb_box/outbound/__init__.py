"""What goes out to other systems and is fetched from them: peers, the queue of transfers, the clients."""
