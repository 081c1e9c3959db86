"""What is kept between the clicks of a session: images, events and features, in memory or in Redis."""
