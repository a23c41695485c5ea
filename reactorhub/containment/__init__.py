"""Many runs on one reactor: whose code runs, whose log a record belongs to, who blocks the reactor."""
