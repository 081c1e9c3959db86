"""PNG and JPEG: headers, pixels, label maps, legends."""
