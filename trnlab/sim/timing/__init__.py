"""When instructions run: prices, queues, hazards, room, and the trace they leave."""
