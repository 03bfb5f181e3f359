"""The encoder audit: how much of an edit an encoder passes on."""
