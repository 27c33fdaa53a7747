import os

import pytest

from charrnn.parallel.launcher import launched


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (1, 0)),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, (4, 3)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, (2, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, (8, 5)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (1, 0)),  # a batch script, which srun has not started
        ({"PMI_SIZE": "4"}, (1, 0)),
        ({"PMI_SIZE": "four", "PMI_RANK": "0"}, (1, 0)),
    ],
    ids=str,
)
def test_the_launcher_says_how_many_ranks_there_are(
    variables: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", variables)
    assert launched() == expected
