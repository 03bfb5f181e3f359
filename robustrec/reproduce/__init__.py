"""The experiment of the paper on SGBD: its tables beside what is measured."""
