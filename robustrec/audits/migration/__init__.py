"""The migration audit: lists while the encoder of the item features is replaced by another one."""
