"""A plugin of pytest that appends "OUTCOME<tab>TEST" to the file $RESULT, once a test is over."""

import os

outcomes = {}


def pytest_runtest_logreport(report):
    # A test has passed only if what comes before and after it did too.
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "skipped"
    if outcome != "passed" or report.nodeid not in outcomes:
        outcomes[report.nodeid] = outcome
    if report.when == "teardown":
        with open(os.environ["RESULT"], "a") as result:
            result.write(f"{outcomes.pop(report.nodeid)}\t{report.nodeid}\n")
