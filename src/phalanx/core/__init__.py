"""What all rooms share: errors, option specs, seeding, device, results, callbacks, files, redaction."""
