"""Where the tasks of an audit run: in this process or in several."""
