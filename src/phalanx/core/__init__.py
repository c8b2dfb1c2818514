"""What all packages share: errors, option specs, seeding, device, results, callbacks, files, redaction."""
