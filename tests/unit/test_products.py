"""How numpy multiplies."""

from threadpoolctl import threadpool_info, threadpool_limits

from app.entrypoints.cli.products import multiply_alone


def test_numpy_multiplies_on_one_thread() -> None:
    with threadpool_limits(2, user_api="blas"):  # and leaves the tests as it found them
        multiply_alone()
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {1}
