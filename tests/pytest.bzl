"""Rule that makes a test target of each file of pytest tests."""

def pytest_tests(name, srcs, data, deps):
    """Declare a py_test for each file and a test suite of all.

    Args:
      name: Name of the suite.
      srcs: Files of tests; tests/models/test_x.py becomes the target models/test_x.
      data: Files that the tests import or read besides the package.
      deps: py_library targets that are tested.
    """
    targets = []
    for src in srcs:
        target = src[:-len(".py")]
        native.py_test(
            name = target,
            # A file may take minutes on two cores, but not a quarter of an hour.
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
