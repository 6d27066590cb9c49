"""How numpy multiplies in a process that is ours alone."""

from threadpoolctl import threadpool_limits


def multiply_alone() -> None:
    """Have numpy compute its products on the thread that asks for them; to be called before PyTorch is loaded, which is not meant.

    OpenBLAS splits those of voice detection, small as they are, over all cores as soon as two frames come at a time, and its
    threads then wait for one another busily: live sound in messages of 100 ms cost a service 92 core-ms for each second, and 22
    this way (2026-11, two virtual cores that were busy).
    """
    threadpool_limits(1, user_api="blas")
