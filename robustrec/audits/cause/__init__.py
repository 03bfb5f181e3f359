"""The cause audit: which inputs of the scores a drift under merchant edits comes from."""
