"""One test target for each file of pytest tests."""

def pytest_tests(name, srcs, data, deps):
    """Declares a py_test for each file and a test suite of all.

    Args:
      name: name of the suite.
      srcs: files of tests; tests/models/test_x.py becomes the target models/test_x.
      data: what the tests import or read beside the package.
      deps: py_library targets that they test.
    """
    targets = []
    for src in srcs:
        target = src[:-len(".py")]
        native.py_test(
            name = target,
            # A file of tests may take minutes on two cores; none is meant to take a quarter hour.
            size = "large",
            srcs = [
                src,
                "run_pytest.py",
            ],
            args = [native.package_name() + "/" + src],
            data = data,
            legacy_create_init = 0,
            main = "run_pytest.py",
            deps = deps,
        )
        targets.append(target)
    native.test_suite(
        name = name,
        tests = targets,
    )
