"""`robustrec data prepare`: public data sets from the files that their projects publish."""
