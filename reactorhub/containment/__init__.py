"""Many runs on one reactor: which run's code executes, which run a log record belongs to, how late it is."""
