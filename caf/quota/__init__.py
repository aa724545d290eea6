"""How full the account is: for each provider what it is asked, and a pure function that reads its answer.

Nothing here runs a program or touches a file: caf/storage does, in a file child, and so can be killed.
"""
