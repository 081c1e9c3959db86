"""What was found in many images, written as annotation tools, training code and maps read it."""
