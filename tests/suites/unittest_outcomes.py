#!/usr/bin/env python3
"""SCRIPT ARGUMENT...: runs a suite's own runner, which uses unittest, appends "OUTCOME<tab>TEST" to the file $RESULT once a
test is over, and lets none take longer than $TEST_LIMIT seconds (60). Says which took more than two."""

import os
import runpy
import signal
import sys
import time
import unittest

LIMIT = float(os.environ.get("TEST_LIMIT", 60))
running = {}


class TookTooLong(BaseException):
    """Not an Exception, as tests catch those."""


def too_long(*_):
    raise TookTooLong(f"more than {LIMIT:.0f} s")


def write(outcome, name):
    with open(os.environ["RESULT"], "a") as result:
        result.write(f"{outcome}\t{name}\n")


# By the object, as some tests rename themselves while they run.
def start(test):
    running[id(test)] = ["passed", test.id(), time.monotonic()]
    # What comes after a test has its time too.
    signal.setitimer(signal.ITIMER_REAL, LIMIT, 20)


def stop(test):
    signal.setitimer(signal.ITIMER_REAL, 0)
    outcome, name, started = running.pop(id(test))
    write(outcome, name)
    took = time.monotonic() - started
    if took > 2:
        print(f"{name} took {took:.0f} s", file=sys.stderr)


def note(outcome):
    def noted(test, *_):
        if id(test) in running:
            running[id(test)][0] = outcome
        elif outcome == "failed":
            # What a class or a test has to prepare has failed, before any test began.
            write(outcome, test.id())

    return noted


def note_subtest(test, _, error):
    if error is not None:
        note("failed")(test)


# Onto each object, as runners have result classes that do not call their parent's methods.
def watch(result, *arguments, **options):
    initialise(result, *arguments, **options)
    for method, seen in {
        "startTest": start,
        "stopTest": stop,
        "addError": note("failed"),
        "addFailure": note("failed"),
        "addUnexpectedSuccess": note("failed"),
        "addExpectedFailure": note("skipped"),
        "addSkip": note("skipped"),
        "addSubTest": note_subtest,
    }.items():
        setattr(result, method, both(seen, getattr(result, method)))


def both(first, second):
    def called(*arguments, **options):
        first(*arguments)
        return second(*arguments, **options)

    return called


if len(sys.argv) < 2:
    sys.exit(__doc__)
initialise = unittest.TestResult.__init__
unittest.TestResult.__init__ = watch
signal.signal(signal.SIGALRM, too_long)
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
